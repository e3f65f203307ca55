//! The time zone of this machine, by its name: whose clocks a crontab means that does not say.

use std::path::Path;

use pbj_queue::cron::Zone;

/// The zone that was asked for, or the one of this machine.
pub(crate) fn or_local(asked: Option<&str>) -> String {
    asked.map_or_else(local, str::to_owned)
}

/// What the machine says, in the order in which the C library asks; UTC if nothing of it is a name.
fn local() -> String {
    let variable = std::env::var("TZ").ok().map(|tz| tz.trim_start_matches(':').to_owned());
    if let Some(tz) = variable {
        return named(&tz).unwrap_or_else(|| "UTC".to_owned());
    }
    let link = std::fs::read_link("/etc/localtime").ok().and_then(|path| of_link(&path));
    let file = || std::fs::read_to_string("/etc/timezone").ok().and_then(|text| named(text.trim()));
    link.or_else(file).unwrap_or_else(|| "UTC".to_owned())
}

fn named(name: &str) -> Option<String> {
    Zone::parse(name).ok().map(|zone| zone.name().to_owned())
}

fn of_link(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    named(text.rsplit_once("zoneinfo/")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_zones() {
        let of = |path: &str| of_link(Path::new(path));
        assert_eq!(of("/usr/share/zoneinfo/Europe/Berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(of("../usr/share/zoneinfo/UTC").as_deref(), Some("UTC"));
        assert_eq!(of("/etc/somewhere"), None);
        assert_eq!(of("/usr/share/zoneinfo/Nowhere/Town"), None);
    }
}
