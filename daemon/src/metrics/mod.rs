//! Metrics: what the daemon counts, as Prometheus reads it.
//!
//! Law: the engine counts plain integers; here they are copied under its lock and turned into families after it is
//! released, so that a scrape stops nobody. Names that redis_exporter gives are given here too, with the same meaning;
//! everything else begins with `pbj_`. No label holds a key, a job id, an address or an error text.

mod families;
mod jobs;
mod process;
mod store;

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::shared::Shared;
use families::Families;

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The door to all metrics.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of a daemon.
    ///
    /// # Errors
    /// Two families have one name: a mistake of ours.
    pub fn new(shared: Arc<Shared>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(Everything { shared }))?;
        Ok(Self { registry })
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// A family makes no sense: a mistake of ours.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

struct Everything {
    shared: Arc<Shared>,
}

impl Collector for Everything {
    fn desc(&self) -> Vec<&Desc> {
        // The families are known when they are collected.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (store, jobs) = {
            let core = self.shared.lock();
            (store::Snapshot::of(&core.engine), jobs::Snapshot::of(&core.engine))
        };
        let mut families = Families::default();
        store.write(&mut families, &self.shared);
        if let Some(jobs) = jobs {
            jobs.write(&mut families);
        }
        process::write(&mut families, &self.shared);
        families.finish()
    }
}
