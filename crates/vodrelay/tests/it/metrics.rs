//! The metrics: each one of the table is there from the start and moves when what it counts happens, and nothing counts
//! what is not in the table; documents, alert rules and the dashboard speak of no other.

mod documents;
pub(crate) mod files;
mod moving;
mod scrape;
