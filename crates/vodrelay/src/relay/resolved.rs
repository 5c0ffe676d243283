//! What a configuration comes to: everything checked, built, and its secrets fetched, before anything of it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use vodrelay_core::config::ConfigError;
use vodrelay_core::dispatcher::Drive;
use vodrelay_core::{ImageStore, Name, Routes, SinkFactory, SinkName};

use super::{build_image_stores, build_sinks};
use crate::config::{Loaded, SinkConfig};

#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) drives: BTreeMap<Name, Drive>,
    pub(crate) http: vodrelay_http::Settings,
    pub(crate) queues: vodrelay_mns::Settings,
    pub(crate) admin: vodrelay_admin::Settings,
    pub(crate) alerts: vodrelay_alerts::Settings,
    pub(crate) traces: Option<vodrelay_traces::Settings>,
    pub(crate) routes: Routes,
    pub(crate) images: BTreeMap<SinkName, Arc<dyn ImageStore>>,
}

impl Resolved {
    /// All of it, or the first thing that is wrong. A socket that was handed over for the admin listener has an address
    /// of its own, which has to be as safe as a configured one.
    pub(crate) fn of(
        loaded: &Loaded,
        factories: &[Arc<dyn SinkFactory>],
        admin_address: Option<SocketAddr>,
    ) -> Result<Self, ConfigError> {
        let Loaded { config, surroundings, .. } = loaded;
        let drive = |(name, sink)| {
            let settings = config.sinks.get(&name).map(SinkConfig::settings).unwrap_or_default();
            (name, Drive { sink, settings })
        };
        let mut admin = config.admin.clone();
        admin.listen = admin_address.unwrap_or(admin.listen);
        let sinks = build_sinks(config, surroundings, factories)?;
        Ok(Self {
            // The sinks have made the folders by now that images are read from.
            images: build_image_stores(config, surroundings, factories)?,
            drives: sinks.into_iter().map(drive).collect(),
            http: config.http.resolve(surroundings)?,
            queues: config.mns.resolve(surroundings)?,
            admin: admin.resolve(surroundings)?,
            alerts: config.alerts.resolve(surroundings)?,
            traces: config.traces.resolve(surroundings)?,
            routes: config.routes(),
        })
    }
}
