//! `wasmway new`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use wasmway_registry::FunctionName;

use crate::failure::Failure;
use crate::language::Language;
use crate::output::{self, Format};
use crate::template;

/// Start a function: write a small project in a language that you know
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway new hello --lang python\n  wasmway new shop --lang rust --dir services/shop\n  wasmway new --list"
)]
pub(crate) struct New {
    /// Name of the function, and of the project's folder
    #[arg(required_unless_present = "list")]
    name: Option<FunctionName>,
    /// Language to write it in
    #[arg(long, value_name = "LANGUAGE", value_enum, required_unless_present = "list")]
    lang: Option<Language>,
    /// Folder to write it to; it must be empty, or not be there [default: the name]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// List the languages
    #[arg(long, conflicts_with_all = ["name", "lang", "dir"])]
    list: bool,
}

pub(crate) fn run(arguments: New, format: Format) -> Result<(), Failure> {
    let (Some(name), Some(language)) = (arguments.name, arguments.lang) else {
        return list(format);
    };
    let folder = arguments.dir.unwrap_or_else(|| PathBuf::from(name.as_str()));
    let files = template::write(language, &name, &folder)?;
    let mut next = vec![format!("cd {}", in_shell(&folder.display().to_string()))];
    next.extend(language.install().map(str::to_owned));
    next.push("wasmway deploy --build".to_owned());
    next.push(format!("wasmway invoke {name} '/some/path?name=Ada'"));
    if format == Format::Json {
        return output::json(&json!({
            "name": name, "language": language, "folder": folder, "files": files, "next": next,
        }));
    }
    output::line(format_args!("{} is a function in {}. Next:", folder.display(), language.title()))?;
    for command in next {
        output::line(format_args!("  {command}"))?;
    }
    output::line("`wasmway doctor` says there what this machine lacks for it; README.md has the rest.")
}

fn list(format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let languages = Language::all().iter().map(|it| json!({ "language": it, "made_with": it.made_with() }));
        return output::json(&json!({ "languages": languages.collect::<Vec<_>>() }));
    }
    let rows = Language::all().iter().map(|language| {
        let possible = language.to_possible_value();
        let names = possible.iter().flat_map(|it| it.get_name_and_aliases()).collect::<Vec<_>>();
        vec![names.join(", "), language.made_with().to_owned()]
    });
    output::table(&["LANGUAGE", "MADE WITH"], rows)
}

/// One word of a shell's command.
fn in_shell(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./+".contains(it);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_word_of_the_command() {
        assert_eq!(in_shell("services/shop-2"), "services/shop-2");
        assert_eq!(in_shell("it's mine"), r"'it'\''s mine'");
    }
}
