//! Finds the file, lays the environment over it, and turns both into a checked `Config`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Environment, File, FileFormat};
use vodrelay_core::config::{ConfigError, Surroundings, without_value};

use super::Config;

/// A configuration with where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it was read from, where there was one.
    pub file: Option<PathBuf>,
    /// What its secrets and relative paths are resolved against.
    pub surroundings: Surroundings,
    /// Where the journal lives.
    pub data_dir: PathBuf,
}

/// Where a file is looked for when none is named.
const PLACES: [&str; 2] = ["vodrelay.toml", "/etc/vodrelay/vodrelay.toml"];

/// What helps who may not read it.
const FOR_WHOM: &str = "only the relay's user and root may read it: `sudo -u vodrelay vodrelay …`";

/// Loads the named file, or else the one of `$VODRELAY_CONFIG`, of this folder, of `/etc/vodrelay`, or none.
///
/// # Errors
/// With the full path of the key and what is expected there.
pub fn load(named: Option<&Path>, environment: HashMap<String, String>) -> Result<Loaded, ConfigError> {
    let from_environment = environment.get("VODRELAY_CONFIG").filter(|name| !name.is_empty());
    let from_environment = from_environment.map(PathBuf::from);
    let found = || PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some(file) = named.map(Path::to_path_buf).or(from_environment).or_else(found) else {
        return from_text("", None, environment);
    };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let advice =
            if error.kind() == ErrorKind::PermissionDenied { format!("; {FOR_WHOM}") } else { String::new() };
        ConfigError::new(file.display().to_string(), format!("cannot be read: {error}{advice}"))
    })?;
    from_text(&text, Some(file), environment)
}

/// Builds the configuration from the text of a file and the environment.
///
/// # Errors
/// As [`load`].
pub fn from_text(
    text: &str,
    file: Option<PathBuf>,
    environment: HashMap<String, String>,
) -> Result<Loaded, ConfigError> {
    let shown = file.as_ref().map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
    // Values stay text until a typed field converts them: guessing types here would round a 32-digit key.
    let overlay = Environment::with_prefix("VODRELAY").prefix_separator("__").separator("__");
    let mut laid_over = environment.clone();
    laid_over.retain(|key, value| !(key.eq_ignore_ascii_case("VODRELAY__DATA_DIR") && value.is_empty()));
    let merged = config::Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .add_source(overlay.source(Some(laid_over)))
        .build()
        .map_err(|error| ConfigError::new(&shown, syntax_error(&error.to_string())))?;
    let config: Config = serde_path_to_error::deserialize(merged)
        .map_err(|error| typed_error(&shown, &environment, &error))?;
    config.check()?;
    let folder = file.as_ref().and_then(|file| file.parent()).map(Path::to_path_buf).unwrap_or_default();
    let surroundings = Surroundings { environment: Arc::new(environment), folder };
    let data_dir = data_dir(&config, file.is_some(), &surroundings)?;
    Ok(Loaded { config, file, surroundings, data_dir })
}

/// The current directory is never taken: a relay started elsewhere would open an empty journal and look healthy.
fn data_dir(config: &Config, has_file: bool, surroundings: &Surroundings) -> Result<PathBuf, ConfigError> {
    if let Some(named) = config.data_dir.as_ref().filter(|named| !named.as_os_str().is_empty()) {
        return Ok(surroundings.resolve(named));
    }
    // A unit may have several, with colons between them.
    let state = surroundings.environment.get("STATE_DIRECTORY").into_iter().flat_map(|list| list.split(':'));
    if let Some(first) = state.into_iter().find(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(first));
    }
    if has_file {
        return Ok(surroundings.resolve(Path::new("data")));
    }
    if let Some(hidden) = PLACES.into_iter().find(|place| is_hidden(Path::new(place))) {
        return Err(ConfigError::new(hidden, FOR_WHOM));
    }
    let places = PLACES.join(" or ");
    let advice = format!(
        "there is no configuration file ({places}, or $VODRELAY_CONFIG, or --config) and no data directory: \
         run `vodrelay init` to write a file, or set VODRELAY__DATA_DIR"
    );
    Err(ConfigError::new("data_dir", advice))
}

/// Whether there may be a file that this user is not allowed to see. The folder that a command happens to be called in
/// does not count: a relay's user is often not allowed into it.
fn is_hidden(place: &Path) -> bool {
    place.is_absolute() && place.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn typed_error(
    shown: &str,
    environment: &HashMap<String, String>,
    error: &serde_path_to_error::Error<config::ConfigError>,
) -> ConfigError {
    let path = error.path().to_string();
    let variable = format!("VODRELAY__{}", path.replace('.', "__"));
    let set_by = environment.keys().find(|name| name.eq_ignore_ascii_case(&variable));
    let path = if path == "." { shown.to_owned() } else { path };
    let mut message = error.inner().to_string();
    // The library ends its message with the key and the origin that we already name.
    if let Some(end) = message.find(" for key `") {
        message.truncate(end);
    }
    let message = without_value(&message);
    match set_by {
        Some(name) => ConfigError::new(path, format!("{message} (it is set by the environment: {name})")),
        None => ConfigError::new(path, message),
    }
}

/// Where TOML stopped making sense, and why; not the line itself, which may hold a secret.
fn syntax_error(error: &str) -> String {
    let lines = error.trim().lines().filter(|line| !line.contains('|'));
    lines.collect::<Vec<_>>().join(": ")
}
