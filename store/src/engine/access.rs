//! Who a client is, and whether it may do what it asks for.
//!
//! Law: what a user may do is looked at for every command, and at once when the user changes. A client of a user that
//! is gone is gone too.

use std::collections::BTreeMap;

use super::Engine;
use super::output::Output;
use super::session::ClientId;
use crate::acl::{Context, DEFAULT, Denied, Log, LogEntry, RuleFault, User, has_spaces, merge_selectors};
use crate::command::Fault;
use crate::command::index::Callable;
use crate::resp::request::split_words;

/// Users and what was refused.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<Box<[u8]>, User>,
    pub(crate) log: Log,
}

impl Default for Access {
    fn default() -> Self {
        Self { users: BTreeMap::from([(DEFAULT.into(), User::everything())]), log: Log::default() }
    }
}

impl Access {
    /// Whether nobody has to say who he is: the default user is there for everybody.
    pub(crate) fn is_open(&self) -> bool {
        self.users.get(DEFAULT).is_some_and(|user| user.enabled && user.no_password)
    }
}

/// What was refused and why, for the log.
struct Refusal<'a> {
    reason: &'static str,
    object: &'a [u8],
    user: &'a [u8],
}

impl Engine {
    /// Whether anybody who connects is the default user without a word.
    pub fn is_open(&self) -> bool {
        self.access.is_open()
    }

    fn all_channels_by_default(&self) -> bool {
        self.config.text("acl-pubsub-default") == "allchannels"
    }

    /// Makes `requirepass` the password of the default user.
    pub(crate) fn apply_password(&mut self) {
        let password = self.config.password().map(str::to_owned);
        if let Some(user) = self.access.users.get_mut(DEFAULT) {
            user.set_only_password(password.as_deref());
        }
        self.refresh_rights();
    }

    /// Notes at every session whether its commands need to be checked.
    fn refresh_rights(&mut self) {
        for session in self.sessions.values_mut() {
            session.limited = !self.access.users.get(&session.user).is_some_and(User::may_everything);
        }
    }

    /// Makes a client this user.
    pub(crate) fn become_user(&mut self, client: ClientId, name: &[u8], authenticated: bool) {
        let limited = !self.access.users.get(name).is_some_and(User::may_everything);
        if let Some(session) = self.sessions.get_mut(&client) {
            session.user = name.into();
            session.authenticated = authenticated;
            session.limited = limited;
        }
    }

    /// Lets a client prove who it is; `typed` is the word by which it asked.
    ///
    /// # Errors
    /// Name or password is wrong.
    pub(crate) fn authenticate(
        &mut self,
        client: ClientId,
        name: &[u8],
        password: &[u8],
        typed: &[u8],
    ) -> Result<(), Fault> {
        let right = self.access.users.get(name).is_some_and(|user| user.enabled && user.knows(password));
        if !right {
            self.note_refusal(client, &Refusal { reason: "auth", object: typed, user: name });
            return Err(Fault::WrongPass);
        }
        self.become_user(client, name, true);
        Ok(())
    }

    /// Checks whether a client may run a command; what it may not is noted.
    ///
    /// # Errors
    /// What is not allowed.
    pub(crate) fn check_access(
        &mut self,
        client: ClientId,
        command: Callable,
        args: &[&[u8]],
    ) -> Result<(), Denied> {
        let Some(session) = self.sessions.get(&client).filter(|session| session.limited) else {
            return Ok(());
        };
        let Some(user) = self.access.users.get(&session.user) else { return Err(Denied::Command) };
        let Err(denied) = user.check(command, args) else { return Ok(()) };
        let name = session.user.clone();
        let full_name = command.full_name();
        let (reason, object) = match denied {
            Denied::Command => ("command", full_name.as_bytes()),
            Denied::Key(at) => ("key", args[at]),
            Denied::Channel(at) => ("channel", args[at]),
        };
        self.note_refusal(client, &Refusal { reason, object, user: &name });
        Err(denied)
    }

    /// Whether a client may run a command; nothing is noted.
    pub(crate) fn would_allow(&self, client: ClientId, command: Callable, args: &[&[u8]]) -> bool {
        let Some(session) = self.sessions.get(&client).filter(|session| session.limited) else {
            return true;
        };
        self.access.users.get(&session.user).is_some_and(|user| user.check(command, args).is_ok())
    }

    /// Whether a client may run a command and read every key with it.
    pub(super) fn may_read_all_keys(&self, client: ClientId, command: Callable, args: &[&[u8]]) -> bool {
        let Some(session) = self.sessions.get(&client).filter(|session| session.limited) else {
            return true;
        };
        self.access.users.get(&session.user).is_some_and(|user| user.may_read_all_keys(command, args))
    }

    fn note_refusal(&mut self, client: ClientId, refusal: &Refusal<'_>) {
        let Some(session) = self.sessions.get(&client) else { return };
        let scripts = self.running.as_ref().is_some_and(|running| running.client == client);
        let context = match () {
            () if scripts => Context::Script,
            () if session.multi.is_some() || session.in_exec => Context::Multi,
            () => Context::TopLevel,
        };
        let mut line = session.describe(self.now.mono_ms);
        line.pop(); // The end of the line.
        let entry = LogEntry {
            count: 1,
            reason: refusal.reason,
            context,
            object: refusal.object.into(),
            user: refusal.user.into(),
            at_ms: self.now.wall_ms(),
            client: line,
        };
        self.access.log.add(entry, self.config.size("acllog-max-len"));
    }

    /// Changes a user, or makes one; all rules or none.
    ///
    /// # Errors
    /// A rule makes no sense.
    pub(crate) fn set_user(&mut self, name: &[u8], rules: &[&[u8]]) -> Result<(), Fault> {
        let all_channels = self.all_channels_by_default();
        let rules = merge_selectors(rules).map_err(|at| {
            Fault::Raw([b"Unmatched parenthesis in acl selector starting at '", rules[at], b"'."].concat())
        })?;
        let mut changed = self.access.users.get(name).cloned().unwrap_or_else(|| User::new(all_channels));
        for rule in &rules {
            changed.apply(&self.index, rule, all_channels).map_err(|fault| {
                let reason = format!("': {fault}");
                Fault::Raw([b"Error in ACL SETUSER modifier '", &**rule, reason.as_bytes()].concat())
            })?;
        }
        if let Some(before) = self.access.users.get(name)
            && before.loses_channels(&changed)
        {
            self.cut_off_listeners(name, &changed);
        }
        self.access.users.insert(name.into(), changed);
        self.refresh_rights();
        Ok(())
    }

    /// Closes the connections of a user that listen to what the user may not hear any more.
    fn cut_off_listeners(&mut self, name: &[u8], changed: &User) {
        let doomed: Vec<ClientId> = self
            .sessions
            .values()
            .filter(|session| *session.user == *name)
            .filter(|session| {
                let channels = session.channels.iter().chain(&session.shard_channels);
                channels.into_iter().any(|channel| !changed.may_listen(channel, false))
                    || session.patterns.iter().any(|pattern| !changed.may_listen(pattern, true))
            })
            .map(|session| session.id)
            .collect();
        doomed.into_iter().for_each(|client| self.close(client));
    }

    /// Removes a user and closes its connections; says whether it was there.
    pub(crate) fn delete_user(&mut self, name: &[u8], asking: ClientId) -> bool {
        if self.access.users.remove(name).is_none() {
            return false;
        }
        self.close_users(asking, |user| *user == *name);
        true
    }

    fn close_users(&mut self, asking: ClientId, gone: impl Fn(&[u8]) -> bool) {
        let doomed: Vec<ClientId> =
            self.sessions.values().filter(|session| gone(&session.user)).map(|session| session.id).collect();
        for client in doomed {
            if client == asking {
                // It still gets its reply.
                self.become_user(client, DEFAULT, false);
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.closing = true;
                }
            } else {
                self.close(client);
            }
        }
    }

    /// Closes a connection. Nobody finds the client any more, however long its connection takes to end.
    pub(crate) fn close(&mut self, client: ClientId) {
        if self.sessions.get(&client).is_some_and(|session| session.is_master) {
            return self.break_link();
        }
        self.forget(client);
        self.outputs.push(Output::Close { client });
    }

    /// Takes over all users of an ACL file, if the whole file makes sense. `asking` is the client who wants it, if any.
    ///
    /// # Errors
    /// All that is wrong, by line.
    pub fn load_users(&mut self, file: &str, text: &str, asking: Option<ClientId>) -> Result<(), String> {
        let mut users: BTreeMap<Box<[u8]>, User> = BTreeMap::new();
        let mut errors = String::new();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            let words: Vec<&str> = line.split(' ').map(str::trim).filter(|word| !word.is_empty()).collect();
            let [keyword, name, rules @ ..] = &*words else {
                if !words.is_empty() {
                    errors += &format!("{place} should start with user keyword followed by the username. ");
                }
                continue;
            };
            if *keyword != "user" {
                errors += &format!("{place} should start with user keyword followed by the username. ");
            } else if has_spaces(name.as_bytes()) {
                errors += &format!("'{place}: username '{name}' contains invalid characters. ");
            } else if users.contains_key(name.as_bytes()) {
                errors += &format!("WARNING: Duplicate user '{name}' found on line {}. ", number + 1);
            } else {
                let user = self.user_of_line(&place, rules, &mut errors);
                users.insert(name.as_bytes().into(), user);
            }
        }
        if !errors.is_empty() {
            return Err(errors
                + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
        }
        users.entry(DEFAULT.into()).or_insert_with(User::everything);
        self.access.users = users;
        // As in Redis, all but the default user are new ones, whatever their names are.
        self.close_users(asking.unwrap_or(ClientId(0)), |user| user != DEFAULT);
        self.refresh_rights();
        Ok(())
    }

    fn user_of_line(&self, place: &str, rules: &[&str], errors: &mut String) -> User {
        let all_channels = self.all_channels_by_default();
        let mut user = User::new(all_channels);
        let rules: Vec<&[u8]> = rules.iter().map(|rule| rule.as_bytes()).collect();
        let Ok(rules) = merge_selectors(&rules) else {
            *errors += &format!("{place}: Unmatched parenthesis in selector definition.");
            return user;
        };
        let mut told = false;
        for rule in rules {
            match user.apply(&self.index, &rule, all_channels) {
                Ok(()) => {}
                // No secret can be in the name of a command.
                Err(fault @ RuleFault::UnknownName) => {
                    let rule = String::from_utf8_lossy(&rule);
                    *errors += &format!("{place}: Error in applying operation '{rule}': {fault}. ");
                }
                Err(_) if told => {}
                Err(fault) => {
                    *errors += &format!("{place}: {fault}. ");
                    told = true;
                }
            }
        }
        user
    }

    /// All users in the form of an ACL file.
    pub fn users_text(&self) -> String {
        let mut text = Vec::new();
        for (name, user) in &self.access.users {
            text.extend_from_slice(&[b"user ", &**name, b" ", &*user.describe(&self.index), b"\n"].concat());
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Takes over the users that stand in the configuration itself.
    ///
    /// # Errors
    /// A rule makes no sense.
    pub fn load_configured_users(&mut self) -> Result<(), String> {
        for line in self.config.users().to_vec() {
            let words = split_words(line.as_bytes()).map_err(|_| "quotes do not match".to_owned())?;
            let Some((name, rules)) = words.split_first() else { continue };
            let rules: Vec<&[u8]> = rules.iter().map(|rule| &**rule).collect();
            // What a line says is all that the user has.
            self.access.users.remove(&**name);
            self.set_user(name, &rules).map_err(|fault| fault.message())?;
        }
        Ok(())
    }
}

/// The reply to a client that may not run a command.
pub(crate) fn refusal(denied: Denied, command: Callable) -> Fault {
    match denied {
        Denied::Command => Fault::coded(format!(
            "NOPERM this user has no permissions to run the '{}' command",
            command.full_name()
        )),
        Denied::Key(_) => {
            Fault::coded("NOPERM this user has no permissions to access one of the keys used as arguments")
        }
        Denied::Channel(_) => Fault::coded(
            "NOPERM this user has no permissions to access one of the channels used as arguments",
        ),
    }
}
