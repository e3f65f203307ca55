//! Which scripts may run on a replica.

use super::flags::ScriptFlags;
use crate::command::Fault;
use crate::engine::Engine;

impl Engine {
    /// Whether a script with these flags may run here, as far as the master is concerned.
    pub(super) fn check_script_on_replica(&self, flags: ScriptFlags) -> Result<(), Fault> {
        let stale = !self.is_linked() && !self.config().flag("replica-serve-stale-data");
        if stale && flags.is_plain() {
            return Err(Fault::MasterDown);
        }
        if stale && !flags.allow_stale() {
            return Err(Fault::coded(
                "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is \
                 not set on the script.",
            ));
        }
        let writes = !flags.is_plain() && !flags.no_writes();
        if writes && self.config().flag("replica-read-only") {
            return Err(Fault::coded("READONLY You can not run script with write flag on readonly replica."));
        }
        Ok(())
    }
}
