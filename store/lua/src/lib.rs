//! Lua 5.1 for the scripts of the store: the interpreter of PUC-Rio, hardened, behind an interface without `unsafe`.
//!
//! - [`Lua`] is an interpreter: it compiles text, keeps functions, and runs them for a [`Host`].
//! - [`Stack`] is what Rust sees of it: values in, values out, no code run, nothing raised.
//! - A function of Rust that scripts call is a number; the host gets it with the stack ([`Host::native`]).
//!
//! Law: no `longjmp` crosses a frame of Rust. What Rust calls cannot raise: it makes its checks first, looks at tables
//! without their metatables, and has memory even beyond the limit; the limit is enforced where Lua allocates for
//! itself, and when a native function returns.
//!
//! Not here: what scripts may do ([`Lua`] has no libraries but table, string, math and the base), and who they are.

mod ffi;
mod memory;
mod stack;
mod state;

pub use stack::{Kind, Raised, Stack, format_number, read_number, to_integer};
pub use state::{Failure, Host, Lua, Ref, Verdict};
