//! Builds metric families from plain numbers.
//!
//! Law: a name carries its unit and, if it counts, `_total`; every family has a help text. The registry checks the
//! rest.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Names and values of the labels of one series.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Families in the making.
#[derive(Default)]
pub(super) struct Families {
    all: Vec<MetricFamily>,
}

impl Families {
    /// The finished families; those without series are left out.
    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.all.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Number) {
        self.counters(name, help).add(&[], value);
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Number) {
        self.gauges(name, help).add(&[], value);
    }

    /// Numbers that only grow, told apart by labels.
    pub(super) fn counters(&mut self, name: &str, help: &str) -> Family<'_> {
        self.begin(name, help, MetricType::COUNTER)
    }

    /// Numbers that go up and down, told apart by labels.
    pub(super) fn gauges(&mut self, name: &str, help: &str) -> Family<'_> {
        self.begin(name, help, MetricType::GAUGE)
    }

    /// Counts by upper bound, told apart by labels.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Family<'_> {
        self.begin(name, help, MetricType::HISTOGRAM)
    }

    fn begin(&mut self, name: &str, help: &str, kind: MetricType) -> Family<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.all.push(family);
        let at = self.all.len() - 1;
        Family { family: &mut self.all[at], kind }
    }
}

/// A family that gets its series.
pub(super) struct Family<'a> {
    family: &'a mut MetricFamily,
    kind: MetricType,
}

impl Family<'_> {
    /// Adds a series of a counter or gauge.
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl Number) -> &mut Self {
        let mut metric = Metric::from_label(pairs(labels));
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value.to_f64());
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value.to_f64());
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
        self
    }

    /// Adds a series of a histogram: counts by bucket (one more than there are bounds) and the sum of all values, of
    /// which `per_unit` make one of the family's unit. Divided, not multiplied: 100 / 10^6 is the 0.0001 that people
    /// write.
    pub(super) fn add_histogram<B: Number + Copy, C: Number + Copy>(
        &mut self,
        labels: Labels<'_>,
        bounds: &[B],
        counts: &[C],
        sum: impl Number,
        per_unit: f64,
    ) -> &mut Self {
        let mut histogram = Histogram::default();
        let mut total = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(counts) {
            total += count.to_f64() as u64;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.to_f64() / per_unit);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        total += counts.get(bounds.len()).map_or(0, |count| count.to_f64() as u64);
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(sum.to_f64() / per_unit);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.family.mut_metric().push(metric);
        self
    }
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

/// What can be a value: integers lose nothing below 2^53.
pub(super) trait Number {
    /// As Prometheus keeps it.
    fn to_f64(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty),*) => { $(impl Number for $type {
        fn to_f64(self) -> f64 {
            self as f64
        }
    })* };
}
numbers!(u64, u32, usize, i64, f64);

impl Number for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}
