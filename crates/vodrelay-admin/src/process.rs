//! What the system says of this process, under the names that Prometheus' own clients use. The recorder counts in whole
//! numbers, and processor time is none, so these lines are written here.

use std::fmt::Write;
use std::path::Path;

use vodrelay_core::metric;

/// The figures, as far as they can be found.
#[derive(Debug, Default, PartialEq)]
struct Figures(Vec<(&'static str, f64)>);

/// The lines of a scrape; nothing where the system has no /proc.
pub(crate) fn scrape() -> String {
    let Figures(figures) = Figures::read(Path::new("/proc"));
    let mut text = String::new();
    for (name, value) in figures {
        if let Some(metric) = metric::find(name) {
            let _ = writeln!(
                text,
                "# HELP {name} {}\n# TYPE {name} {}\n{name} {value}\n",
                metric.help, metric.kind
            );
        }
    }
    text
}

impl Figures {
    fn read(proc: &Path) -> Self {
        let read = |file: &str| std::fs::read_to_string(proc.join(file)).unwrap_or_default();
        let mut figures = Self::of(&read("self/stat"), &read("stat"), &read("self/limits"));
        if let Ok(open) = std::fs::read_dir(proc.join("self/fd")) {
            // The one that this look has open is closed by the time that anybody reads the figure.
            figures.0.push(("process_open_fds", open.count().saturating_sub(1) as f64));
        }
        figures
    }

    fn of(stat: &str, of_machine: &str, limits: &str) -> Self {
        let mut figures = Vec::new();
        // The name of the program stands in parentheses and may have anything in it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or_else(Vec::new, |(_, fields)| fields.split_whitespace().collect());
        // By proc(5), where the field after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        if let (Some(user), Some(system)) = (field(14), field(15)) {
            figures.push(("process_cpu_seconds_total", (user + system) / ticks));
        }
        if let Some(pages) = field(24) {
            figures.push(("process_resident_memory_bytes", pages * rustix::param::page_size() as f64));
        }
        figures.extend(field(23).map(|bytes| ("process_virtual_memory_bytes", bytes)));
        let booted =
            of_machine.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        if let (Some(booted), Some(after)) = (booted, field(22)) {
            figures.push(("process_start_time_seconds", booted + after / ticks));
        }
        let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let most = most.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        figures.extend(most.map(|most| ("process_max_fds", most)));
        Self(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 4 0 1000 20480000 300 18446744073709551615";
    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
        Max open files            16384                65536                files\n";

    #[test]
    fn what_proc_says() {
        let (ticks, page) =
            (rustix::param::clock_ticks_per_second() as f64, rustix::param::page_size() as f64);
        let expected = vec![
            ("process_cpu_seconds_total", 200.0 / ticks),
            ("process_resident_memory_bytes", 300.0 * page),
            ("process_virtual_memory_bytes", 20_480_000.0),
            ("process_start_time_seconds", 1_700_000_000.0 + 1_000.0 / ticks),
            ("process_max_fds", 16_384.0),
        ];
        assert_eq!(Figures::of(STAT, "cpu 1\nbtime 1700000000\n", LIMITS).0, expected);
    }

    #[test]
    fn what_it_does_not_say_is_left_out() {
        for text in ["", "4242 (a", "4242 (a) S", "4242 (a) S x x x x x x x x x x x x x x x x x x x x x x x"]
        {
            assert_eq!(Figures::of(text, "", ""), Figures::default(), "{text}");
        }
        assert_eq!(Figures::read(Path::new("/nowhere")), Figures::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_of_them_are_there_on_linux() {
        let text = scrape();
        for metric in metric::OF_THE_PROCESS.iter().filter(|metric| metric.name.starts_with("process_")) {
            let value =
                text.lines().find_map(|line| line.strip_prefix(metric.name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{}:\n{text}", metric.name);
        }
    }
}
