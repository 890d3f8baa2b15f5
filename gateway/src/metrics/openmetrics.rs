//! The metrics as OpenMetrics text, version 1.0: as Prometheus' own text format, with units and with exemplars.

use super::{Exemplar, Metrics, Unit};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::{
    fmt::{self, Write},
    time::UNIX_EPOCH,
};

impl Metrics {
    /// What is measured, in OpenMetrics.
    pub(crate) fn openmetrics(&self) -> Result<String, fmt::Error> {
        encode(&self.families(), |family, metric| self.exemplars(family, metric).map(Vec::from).unwrap_or_default())
    }
}

/// `exemplars` has those of a histogram, by bucket; there may be none.
fn encode(
    families: &[MetricFamily],
    exemplars: impl Fn(&str, &Metric) -> Vec<Option<Exemplar>>,
) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for family in families {
        // The ending of a counter is its sample's.
        let (kind, ending) = match family.get_field_type() {
            MetricType::COUNTER => ("counter", "_total"),
            MetricType::GAUGE => ("gauge", ""),
            MetricType::HISTOGRAM => ("histogram", ""),
            kind => unreachable!("{} is a {kind:?}, which no metric of ours is", family.name()),
        };
        let name = family.name().strip_suffix(ending).unwrap_or(family.name());
        writeln!(text, "# TYPE {name} {kind}")?;
        if let Some(unit) = Unit::of(name) {
            writeln!(text, "# UNIT {name} {}", unit.as_str())?;
        }
        writeln!(text, "# HELP {name} {}", escaped(family.help()))?;
        for metric in family.get_metric() {
            let labels = Labels(metric.get_label(), None);
            match family.get_field_type() {
                MetricType::HISTOGRAM => {
                    histogram(&mut text, name, metric, &exemplars(family.name(), metric))?;
                }
                MetricType::COUNTER => {
                    writeln!(text, "{name}{ending}{labels} {}", number(metric.get_counter().get_value()))?;
                }
                _ => writeln!(text, "{name}{labels} {}", number(metric.get_gauge().get_value()))?,
            }
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

fn histogram(text: &mut String, name: &str, metric: &Metric, exemplars: &[Option<Exemplar>]) -> fmt::Result {
    let (histogram, labels) = (metric.get_histogram(), metric.get_label());
    let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let below = histogram.get_bucket().last().map_or(0, |bucket| bucket.cumulative_count());
    // What is counted meanwhile may be in the buckets already and not in the sum of all.
    let count = histogram.get_sample_count().max(below);
    for (number_of, (upper, below)) in buckets.chain([(f64::INFINITY, count)]).enumerate() {
        write!(text, "{name}_bucket{} {below}", Labels(labels, Some(("le", &number(upper)))))?;
        if let Some(Some(Exemplar { trace, span, value, time })) = exemplars.get(number_of) {
            let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let value = number(*value);
            write!(text, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {:.3}", time.as_secs_f64())?;
        }
        text.push('\n');
    }
    let labels = Labels(labels, None);
    writeln!(text, "{name}_sum{labels} {}", number(histogram.get_sample_sum()))?;
    writeln!(text, "{name}_count{labels} {count}")
}

/// A series' labels, and one more.
struct Labels<'a>(&'a [LabelPair], Option<(&'a str, &'a str)>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.iter().map(|pair| (pair.name(), pair.value())).chain(self.1);
        let mut before = '{';
        for (name, value) in pairs {
            write!(f, "{before}{name}=\"{}\"", escaped(value))?;
            before = ',';
        }
        if before == ',' { f.write_char('}') } else { Ok(()) }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

/// A number as Go and Python write it: the bounds of buckets are texts that have to be the same everywhere.
fn number(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse() {
        Ok(-4..6) if number.fract() == 0.0 => format!("{number:.1}"),
        Ok(-4..6) => number.to_string(),
        Ok(exponent @ ..0) => format!("{digits}e-{:02}", -exponent),
        Ok(exponent) => format!("{digits}e+{exponent:02}"),
        Err(_) => unreachable!("{exponent} is a number: {number:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, Opts, core::Collector};
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn numbers_are_written_as_go_and_python_write_them() {
        let written = [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (30.0, "30.0"),
            (0.001, "0.001"),
            (0.000_1, "0.0001"),
            (0.000_05, "5e-05"),
            (0.000_012_5, "1.25e-05"),
            (262_144.0, "262144.0"),
            (1_048_576.0, "1.048576e+06"),
            (1e21, "1e+21"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in written {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn every_kind_has_its_form() {
        let counter = IntCounter::new("bytes_read_bytes_total", "Read \"all\".\nAlways.").unwrap();
        counter.inc_by(3);
        let gauge = GaugeVec::new(Opts::new("hot", "Hot."), &["where"]).unwrap();
        gauge.with_label_values(&["a\\\"b\"\n"]).set(f64::NAN);
        let took = HistogramOpts::new("took_seconds", "Took.").buckets(vec![0.5, 1.0]);
        let took = Histogram::with_opts(took).unwrap();
        for value in [0.25, 0.5, 2.0] {
            took.observe(value);
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let exemplar = Exemplar { trace: 1.into(), span: 2.into(), value: 2.0, time };
        let families: Vec<_> = [counter.collect(), gauge.collect(), took.collect()].concat();
        let text = encode(&families, |family, _| {
            assert_eq!(family, "took_seconds");
            vec![None, None, Some(exemplar)]
        });
        let expected = r##"# TYPE bytes_read_bytes counter
# UNIT bytes_read_bytes bytes
# HELP bytes_read_bytes Read \"all\".\nAlways.
bytes_read_bytes_total 3.0
# TYPE hot gauge
# HELP hot Hot.
hot{where="a\\\"b\"\n"} NaN
# TYPE took_seconds histogram
# UNIT took_seconds seconds
# HELP took_seconds Took.
took_seconds_bucket{le="0.5"} 2
took_seconds_bucket{le="1.0"} 2
took_seconds_bucket{le="+Inf"} 3 # {trace_id="00000000000000000000000000000001",span_id="0000000000000002"} 2.0 1700000000.250
took_seconds_sum 2.75
took_seconds_count 3
# EOF
"##;
        assert_eq!(text.unwrap(), expected);
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_what_was_written(value in any::<f64>()) {
            let read: f64 = number(value).parse().unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{}", number(value));
        }

        #[test]
        fn whatever_a_label_says_is_in_one_line(value in any::<String>()) {
            let gauge = GaugeVec::new(Opts::new("hot", "Hot."), &["where"]).unwrap();
            gauge.with_label_values(&[&value]).set(1.0);
            let text = encode(&gauge.collect(), |_, _| Vec::new()).unwrap();
            prop_assert_eq!(text.matches('\n').count(), 4, "{}", text);
            let written = text.lines().nth(2).unwrap().strip_prefix("hot{where=\"").unwrap().strip_suffix("\"} 1.0").unwrap();
            let mut read = String::new();
            let mut letters = written.chars();
            while let Some(letter) = letters.next() {
                prop_assert_ne!(letter, '"');
                read.push(match letter {
                    '\\' if letters.as_str().starts_with('n') => letters.next().map_or('n', |_| '\n'),
                    '\\' => letters.next().unwrap(),
                    letter => letter,
                });
            }
            prop_assert_eq!(read, value);
        }
    }
}
