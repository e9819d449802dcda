//! How far the job on stored values is that the service carries out.

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// The numbers of one job. Gauges: each job begins at zero.
#[derive(Default)]
pub struct JobMetrics {
    running: Gauge,
    records: Gauge,
    read: Gauge,
    written: Gauge,
    moved: Gauge,
    conflicts: Gauge,
    failed: Gauge,
    concurrency: Gauge,
}

impl JobMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        for (name, help, gauge) in [
            ("reseal_running", "1 while a job on stored values is carried out", &this.running),
            ("reseal_records", "Records that the job has to read", &this.records),
            ("reseal_records_read", "Records that the job has read", &this.read),
            ("reseal_records_written", "Records that the job has written", &this.written),
            ("reseal_values_moved", "Values that the job has written", &this.moved),
            ("reseal_conflicts", "Records that others wrote in between", &this.conflicts),
            ("reseal_failed", "Records that the API refused to write", &this.failed),
            ("reseal_concurrency", "Requests at a time that the API bears", &this.concurrency),
        ] {
            registry.register(name, help, gauge.clone());
        }
        this
    }

    /// A job stands like this: records there are and were read; records and values that were
    /// written; records that others wrote and that were refused; requests at a time.
    pub fn stands(
        &self,
        (records, read): (u64, u64),
        (written, moved): (u64, u64),
        (conflicts, failed): (u64, u64),
        allowed: u64,
    ) {
        self.running.set(1);
        for (gauge, count) in [
            (&self.records, records),
            (&self.read, read),
            (&self.written, written),
            (&self.moved, moved),
            (&self.conflicts, conflicts),
            (&self.failed, failed),
            (&self.concurrency, allowed),
        ] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// No job is carried out.
    pub fn at_rest(&self) {
        self.running.set(0);
    }
}
