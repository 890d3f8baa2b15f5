//! The metrics of `/metrics`, as OpenTelemetry has them: with the names that they have there, so that who asks for one finds
//! it whichever way it came.

use super::{Origin, attribute, delivery::Delivery};
use crate::{
    health::Health,
    metrics::{Exemplar, Metrics, Unit},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{
        self as proto, AggregationTemporality::Cumulative, Gauge, Histogram, HistogramDataPoint, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, exemplar, metric::Data, number_data_point,
    },
};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prost::Message;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Sends the metrics now and then.
pub(super) struct Pushing {
    pub(super) health: Arc<Health>,
    pub(super) delivery: Delivery,
    pub(super) origin: Arc<Origin>,
}

impl Pushing {
    /// Sends them every so often, and once more at the end.
    pub(super) async fn run(mut self, every: Duration, closing: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once, when there is nothing to tell.
        ticks.tick().await;
        while closing.run_until_cancelled(ticks.tick()).await.is_some() {
            self.push().await;
        }
        self.push().await;
    }

    async fn push(&mut self) {
        let metrics = message(self.health.measured(), SystemTime::now());
        let points = metrics.iter().map(points).sum();
        let scope_metrics =
            vec![ScopeMetrics { scope: Some(self.origin.scope.clone()), metrics, schema_url: String::new() }];
        let resource = Some(self.origin.resource.clone());
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
        self.delivery.send(ExportMetricsServiceRequest { resource_metrics }.encode_to_vec(), points).await;
    }
}

fn points(metric: &proto::Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => 0,
    };
    points as u64
}

fn message(metrics: &Metrics, now: SystemTime) -> Vec<proto::Metric> {
    let families = metrics.families();
    families.iter().map(|family| metric(metrics, family, nanoseconds(now))).collect()
}

fn metric(metrics: &Metrics, family: &MetricFamily, now: u64) -> proto::Metric {
    let series = family.get_metric();
    let temporality = Cumulative.into();
    let number =
        |of: fn(&Metric) -> f64| series.iter().map(|metric| number_point(metrics, metric, of(metric), now)).collect();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: number(|metric| metric.get_counter().get_value()),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge { data_points: number(|metric| metric.get_gauge().get_value()) }),
        MetricType::HISTOGRAM => {
            let points = series.iter().map(|metric| histogram_point(metrics, family.name(), metric, now));
            Data::Histogram(Histogram { data_points: points.collect(), aggregation_temporality: temporality })
        }
        kind => unreachable!("{} is a {kind:?}, which no metric of ours is", family.name()),
    };
    let unit = match Unit::of(family.name()) {
        Some(Unit::Seconds) => "s",
        Some(Unit::Bytes) => "By",
        Some(Unit::Ratio) => "1",
        None => "",
    };
    proto::Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number_point(metrics: &Metrics, metric: &Metric, value: f64, now: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(metric),
        start_time_unix_nano: nanoseconds(metrics.since(metric)),
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram_point(metrics: &Metrics, family: &str, metric: &Metric, now: u64) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket() {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count() - below);
        below = bucket.cumulative_count();
    }
    // What is counted meanwhile may be in the buckets already and not in the sum of all.
    let count = histogram.get_sample_count().max(below);
    counts.push(count - below);
    let exemplars = metrics.exemplars(family, metric).into_iter().flatten();
    HistogramDataPoint {
        attributes: attributes(metric),
        start_time_unix_nano: nanoseconds(metrics.since(metric)),
        time_unix_nano: now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        exemplars: exemplars.flatten().map(exemplar_of).collect(),
        ..HistogramDataPoint::default()
    }
}

fn exemplar_of(exemplar: Exemplar) -> proto::Exemplar {
    proto::Exemplar {
        time_unix_nano: nanoseconds(exemplar.time),
        trace_id: exemplar.trace.to_bytes().to_vec(),
        span_id: exemplar.span.to_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value)),
        ..proto::Exemplar::default()
    }
}

fn attributes(metric: &Metric) -> Vec<KeyValue> {
    metric.get_label().iter().map(|label| attribute(label.name(), label.value().to_owned())).collect()
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
