//! A picture of figures: horizontal bars, as SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A bar with its name.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// The one that the picture is about.
    pub(crate) ours: bool,
}

const WIDTH: f64 = 720.0;
const NAMES: f64 = 190.0;
const ROW: f64 = 30.0;
const TOP: f64 = 48.0;
/// For the number behind the longest bar.
const NUMBERS: f64 = 90.0;

/// Writes bars from zero, in the order in which they come.
pub(crate) fn write(path: &Path, title: &str, unit: &str, bars: &[Bar]) -> Result<()> {
    fs::write(path, draw(title, unit, bars)?).with_context(|| format!("writing {}", path.display()))?;
    println!("chart: {}", path.display());
    Ok(())
}

fn draw(title: &str, unit: &str, bars: &[Bar]) -> Result<String> {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\" font-weight=\"600\">{title}</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let length = (WIDTH - NAMES - NUMBERS) * bar.value / most;
        let color = if bar.ours { "#5b3fd1" } else { "#b8bcc8" };
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{}\" width=\"{length:.1}\" height=\"20\" rx=\"2\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.0} {unit}</text>",
            NAMES - 8.0,
            y + 15.0,
            bar.name,
            y,
            NAMES + length + 6.0,
            y + 15.0,
            bar.value,
        )?;
    }
    Ok(svg + "</svg>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_as_long_as_there_is_room() {
        let bars = [(10.0, false), (5.0, true)].map(|(value, ours)| Bar { name: "x".into(), value, ours });
        let svg = draw("t", "req/s", &bars).unwrap();
        assert!(svg.contains("width=\"440.0\"") && svg.contains("width=\"220.0\""), "{svg}");
    }
}
