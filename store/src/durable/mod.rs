//! What survives: the append-only log and snapshots, as pure code over a [`Disk`].
//!
//! Law: nothing is acknowledged that a crash could take back under the policy in force, and nothing damaged is served:
//! a torn tail is cut and reported, anything else refuses to load and says where.
//! Layout: that of Redis 7 (a manifest, a base, increments), so that `redis-check-aof` and redis-server read it.

mod disk;
mod health;
mod load;
mod log;
mod manifest;
mod memory_disk;
mod pace;
mod read;
mod rewrite;
mod seal;
mod snapshot;
mod stamp;
mod truncate;

pub use disk::{Disk, Syncer};
pub use health::Health;
pub use load::{Cut, LoadFault, LoadReport, Loader, Progress};
pub use log::{Log, LogFiles, LogNames};
pub use manifest::{FileKind, Manifest, ManifestFault};
pub use memory_disk::MemoryDisk;
pub use pace::{Pace, SYNC_EVERY_MS, SYNC_PATIENCE_MS, SyncPolicy, WRITE_RETRY_MS};
pub use rewrite::{BaseForm, LogState, Rewrite};
pub use seal::Unsealed;
pub use snapshot::{SnapshotInput, SnapshotOutput};
pub use stamp::Stamps;
pub(crate) use stamp::stamp;
pub use truncate::{CutBack, Truncation, TruncationFault};
