//! The Prometheus text format, as far as a test asks about it.

pub(crate) struct Metrics(String);

impl Metrics {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether there is a metric of that name, by its description.
    pub(crate) fn describes(&self, name: &str, kind: &str) -> bool {
        let line = format!("# TYPE {name} {kind}");
        self.0.lines().any(|found| found == line)
    }

    /// The sum of the samples that bear `labels`, among others; 0 when there are none.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0.lines().filter_map(|line| sample(line, name, labels)).sum()
    }
}

fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let (series, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
    let inside = match series {
        "" => "",
        _ => series.strip_prefix('{')?.strip_suffix('}')?,
    };
    let has = |(key, value): &(&str, &str)| inside.split(',').any(|pair| pair == format!("{key}=\"{value}\""));
    if !labels.iter().all(has) {
        return None;
    }
    Some(value.parse().unwrap())
}
