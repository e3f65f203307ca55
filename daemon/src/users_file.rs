//! The ACL file: all users, one to a line.

use std::path::{Path, PathBuf};

use pbj_store::engine::{ClientId, Engine};

use crate::rewrite::replace_file;

/// Reads the users at the start: from the ACL file, if there is one, or from the configuration itself.
///
/// # Errors
/// The users make no sense, or stand in both places.
pub fn load_at_start(engine: &mut Engine) -> Result<(), String> {
    let in_config = !engine.config().users().is_empty();
    if engine.config().text("aclfile").is_empty() {
        return engine
            .load_configured_users()
            .map_err(|reason| format!("users of the configuration: {reason}"));
    }
    if in_config {
        return Err(
            "users stand in the configuration and in the ACL file it names; only one of them can be right"
                .into(),
        );
    }
    load(engine, None)
}

/// Where the ACL file is: a path that begins nowhere begins in the data folder.
fn path_of(engine: &Engine) -> PathBuf {
    Path::new(engine.config().text("dir")).join(engine.config().text("aclfile"))
}

/// Reads the users of the ACL file; all of them or none.
///
/// # Errors
/// The file cannot be read or makes no sense.
pub fn load(engine: &mut Engine, asking: Option<ClientId>) -> Result<(), String> {
    let file = engine.config().text("aclfile").to_owned();
    let text = std::fs::read_to_string(path_of(engine))
        .map_err(|error| format!("Error loading ACLs, opening file '{file}': {error}"))?;
    engine.load_users(&file, &text, asking)
}

/// Writes all users into the ACL file.
///
/// # Errors
/// The file cannot be written; the old one is still there then.
pub fn save(engine: &Engine) -> Result<(), String> {
    let file = engine.config().text("aclfile");
    replace_file(&path_of(engine), engine.users_text().as_bytes()).map_err(|error| {
        tracing::error!(file, %error, "the users cannot be written");
        "There was an error trying to save the ACLs. Please check the server logs for more information"
            .to_owned()
    })
}
