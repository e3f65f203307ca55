//! Whole crontab files, as they lie on real machines and as people get them wrong.

use pbj_queue::cron::crontab::{
    self, Crontab, ENTRIES_MAX, Entry, FAULTS_MAX, FILE_MAX_BYTES, Form, LINE_MAX_BYTES, Reason, SETTINGS_MAX,
};
use pbj_queue::cron::{Expression, Zone};
use proptest::prelude::*;

/// The entries of a file without faults.
fn entries(text: &str, form: Form) -> Vec<Entry> {
    let crontab = crontab::parse(text.as_bytes(), form);
    assert_eq!(crontab.faults, [], "{text}");
    crontab.entries
}

/// The faults of a file, as people read them.
fn faults(text: &str, form: Form) -> Vec<String> {
    crontab::parse(text.as_bytes(), form).faults.iter().map(ToString::to_string).collect()
}

/// Line, schedule, user and command of each entry.
fn brief(entries: &[Entry]) -> Vec<(usize, &str, Option<&str>, &str)> {
    entries
        .iter()
        .map(|entry| (entry.line, entry.schedule.as_str(), entry.user.as_deref(), entry.command.as_str()))
        .collect()
}

const DEBIAN: &str = "\
# /etc/crontab: system-wide crontab
# Unlike any other crontab you don't have to run the `crontab'
# command to install the new version when you edit this file
# and files in /etc/cron.d. These files also have username fields,
# that none of the other crontabs do.

SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it from the environment
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
";

#[test]
fn the_crontab_of_debian() {
    let crontab = crontab::parse(DEBIAN.as_bytes(), Form::System);
    assert_eq!(crontab.faults, []);
    assert_eq!(
        brief(&crontab.entries),
        [
            (19, "17 *\t* * *", Some("root"), "cd / && run-parts --report /etc/cron.hourly"),
            (
                20,
                "25 6\t* * *",
                Some("root"),
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }"
            ),
            (
                21,
                "47 6\t* * 7",
                Some("root"),
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }"
            ),
            (
                22,
                "52 6\t1 * *",
                Some("root"),
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }"
            ),
        ]
    );
    for entry in &crontab.entries {
        assert_eq!(crontab.environment(entry), [("SHELL", "/bin/sh")]);
        assert_eq!((entry.zone, entry.delay_max_min, &entry.stdin), (None, None, &None));
        assert!(!entry.quiet && !entry.mail_on_failure_only);
    }
}

/// Lines as packages put them into /etc/cron.d.
#[test]
fn the_files_of_packages() {
    for (text, schedule, command) in [
        (
            "09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then \
             /usr/lib/php/sessionclean; fi",
            "09,39 *     * * *",
            "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi",
        ),
        (
            "5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1",
            "5-55/10 * * * *",
            "command -v debian-sa1 > /dev/null && debian-sa1 1 1",
        ),
        (
            "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' \
             && certbot -q renew",
            "0 */12 * * *",
            "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew",
        ),
        (
            "30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron",
            "30 3 * * 0",
            "test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron",
        ),
        (
            "30 7-23 * * *   root\t[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then \
             /usr/sbin/invoke-rc.d anacron start >/dev/null; fi",
            "30 7-23 * * *",
            "[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start \
             >/dev/null; fi",
        ),
        (
            "57 0 * * 0 root if [ -x /usr/share/mdadm/checkarray ] && [ $(date +\\%d) -le 7 ]; then \
             /usr/share/mdadm/checkarray --cron --all --idle --quiet; fi",
            "57 0 * * 0",
            "if [ -x /usr/share/mdadm/checkarray ] && [ $(date +%d) -le 7 ]; then /usr/share/mdadm/checkarray --cron \
             --all --idle --quiet; fi",
        ),
    ] {
        assert_eq!(brief(&entries(text, Form::System)), [(1, schedule, Some("root"), command)]);
    }
}

#[test]
fn the_crontab_of_a_person() {
    let text = "\
MAILTO = paul
CRON_TZ=Japan
5 0 * * *       $HOME/bin/daily.job >> $HOME/tmp/out 2>&1
0 22 * * 1-5    mail -s \"It's 10pm\" joe%Joe,%%Where are your kids?%
  -*/15 * * * *\t-n  backup --all
CRON_TZ=
RANDOM_DELAY = 45
@daily\tsync
-@every 90s -n poll
@reboot FOO=bar start # no comment
~ 3~5 * * * any";
    let crontab = crontab::parse(text.as_bytes(), Form::User);
    assert_eq!(crontab.faults, []);
    assert_eq!(
        brief(&crontab.entries),
        [
            (3, "5 0 * * *", None, "$HOME/bin/daily.job >> $HOME/tmp/out 2>&1"),
            (4, "0 22 * * 1-5", None, "mail -s \"It's 10pm\" joe"),
            (5, "*/15 * * * *", None, "backup --all"),
            (8, "@daily", None, "sync"),
            (9, "@every 90s", None, "poll"),
            (10, "@reboot", None, "FOO=bar start # no comment"),
            (11, "~ 3~5 * * *", None, "any"),
        ]
    );
    let entries = &crontab.entries;
    assert_eq!(entries[1].stdin.as_deref(), Some("Joe,\n\nWhere are your kids?\n"));
    let flags: Vec<_> = entries.iter().map(|entry| (entry.quiet, entry.mail_on_failure_only)).collect();
    let none = (false, false);
    assert_eq!(flags, [none, none, (true, true), none, (true, true), none, none]);
    let japan = Zone::parse("Japan").ok();
    assert_eq!(entries.iter().map(|entry| entry.zone).collect::<Vec<_>>()[..4], [japan, japan, japan, None]);
    assert_eq!(entries[2].delay_max_min, None);
    assert!(entries[3..].iter().all(|entry| entry.delay_max_min == Some(45)));
}

/// A setting applies to the lines below it; a later value takes the place of an earlier one.
#[test]
fn settings_apply_to_what_follows() {
    let text = "\
@daily first
A=1
B = two words  \t
  'C C' = \" kept \"
D=\"\"
E=
F = it's \"quoted\" # and no comment
@daily second
A=3
@daily third
";
    let crontab = crontab::parse(text.as_bytes(), Form::User);
    assert_eq!(crontab.faults, []);
    let environments: Vec<_> = crontab.entries.iter().map(|entry| crontab.environment(entry)).collect();
    let rest = [
        ("B", "two words"),
        ("C C", " kept "),
        ("D", ""),
        ("E", ""),
        ("F", "it's \"quoted\" # and no comment"),
    ];
    assert_eq!(environments[0], []);
    assert_eq!(environments[1][0], ("A", "1"));
    assert_eq!(environments[2][0], ("A", "3"));
    assert_eq!((&environments[1][1..], &environments[2][1..]), (&rest[..], &rest[..]));
}

#[test]
fn a_bad_line_hides_no_other() {
    let text = "\
61 * * * * one
* * * * * two
* * 5, * * three
@dayly four
nonsense
* * * * * five
* * * * *
*/5 * * * * * six
";
    let crontab = crontab::parse(text.as_bytes(), Form::User);
    assert_eq!(
        crontab.entries.iter().map(|entry| entry.command.as_str()).collect::<Vec<_>>(),
        ["two", "five"]
    );
    let places: Vec<_> = crontab.faults.iter().map(|fault| (fault.line, fault.column)).collect();
    let at = |line, column| (line, Some(column));
    assert_eq!(places, [at(1, 1), at(3, 5), at(4, 1), at(5, 1), at(7, 10), at(8, 1)]);
}

#[test]
fn faults_are_worded_for_people() {
    for (line, form, expected) in [
        ("5 4 * *\t0-9 x", Form::User, "line 1, column 9: day of week: '9' is not allowed"),
        (
            "  5/5 4 * * * x",
            Form::User,
            "line 1, column 3: minute: '5/5': a step needs a range or '*' before it",
        ),
        ("5 4 * *", Form::User, "line 1, column 1: 4 fields found, 5 expected"),
        ("0 */5 * * * * x", Form::User, "line 1, column 1: 6 fields found, 5 expected"),
        ("- 5 4 * * * x", Form::User, "line 1, column 2: 4 fields found, 5 expected"),
        ("@every x", Form::User, "line 1, column 1: @every: 'x' is no duration"),
        ("@every5m x", Form::User, "line 1, column 1: '@every5m' is no known word"),
        ("@daily", Form::User, "line 1, column 7: a command is missing"),
        ("@daily %input", Form::User, "line 1, column 8: a command is missing"),
        ("@daily -n", Form::User, "line 1, column 10: a command is missing"),
        (
            "@daily -n -n x",
            Form::User,
            "line 1, column 11: '-n' is no flag of an entry; only one '-n' may stand",
        ),
        ("@daily -q x", Form::User, "line 1, column 8: '-q' is no flag of an entry; only one '-n' may stand"),
        ("@daily", Form::System, "line 1, column 7: a user and a command are missing behind the schedule"),
        ("@daily root", Form::System, "line 1, column 12: a command is missing"),
        (
            "@daily /bin/x y",
            Form::System,
            "line 1, column 8: '/bin/x' is no user; files of the system name one",
        ),
        ("@daily root -x y", Form::System, "line 1, column 13: '-x' is no flag of an entry"),
        ("MAILTO = \"me", Form::User, "line 1, column 10: the quote that opens the value is not closed"),
        ("MAILTO = 'me' you", Form::User, "line 1, column 15: 'you' stands behind the closing quote"),
        (
            "RANDOM_DELAY=45m",
            Form::User,
            "line 1, column 14: RANDOM_DELAY: '45m' is no number of minutes up to 1440",
        ),
        (
            "RANDOM_DELAY=1441",
            Form::User,
            "line 1, column 14: RANDOM_DELAY: '1441' is no number of minutes up to",
        ),
        ("MAILTO", Form::User, "line 1, column 1: 1 field found, 5 expected"),
        ("=x", Form::User, "line 1, column 1: 1 field found, 5 expected"),
        ("5=5 * * * * x", Form::User, "line 1, column 1: minute: '5=5' is not allowed"),
        ("\"a=b\"=c", Form::User, "line 1, column 1: 1 field found, 5 expected"),
        ("a\0b", Form::User, "line 1, column 2: this is no text: it is not UTF-8, or has a zero byte"),
    ] {
        let found = faults(line, form);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{line:?}: {found:?}");
    }
}

/// Nobody wants a job at three o'clock somewhere else.
#[test]
fn entries_below_an_unknown_zone_are_not_run_in_another() {
    let text = "@daily one\nCRON_TZ=Europe/Berln\n@daily two\nCRON_TZ=UTC\n@daily three\n";
    let crontab = crontab::parse(text.as_bytes(), Form::User);
    assert_eq!(crontab.entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(
        faults(text, Form::User),
        [
            "line 2, column 9: CRON_TZ: 'Europe/Berln' is no time zone, did you mean 'Europe/Berlin'?",
            "line 3: not used, as the CRON_TZ of line 2 is no time zone",
        ]
    );
    let (first, last) = (&crontab.entries[0], &crontab.entries[1]);
    assert_eq!((crontab.environment(first), crontab.environment(last)), (vec![], vec![("CRON_TZ", "UTC")]));
}

#[test]
fn the_ends_of_lines_and_files_do_not_matter() {
    let unix = "A=1\n* * * * * one\n\n# two\n@daily three\n";
    let expected = crontab::parse(unix.as_bytes(), Form::User);
    assert_eq!(expected.entries.len(), 2);
    for same in
        [unix.replace('\n', "\r\n"), unix.trim_end().to_owned(), format!("{unix}\r"), format!("{unix}  ")]
    {
        assert_eq!(crontab::parse(same.as_bytes(), Form::User), expected, "{same:?}");
    }
    assert_eq!(crontab::parse(b"", Form::System), Crontab::default());
    let inner = entries("@daily a\rb\r\n", Form::User);
    assert_eq!(inner[0].command, "a\rb", "only the last one belongs to the end of the line");
}

#[test]
fn what_is_no_text_hides_no_other_line() {
    let crontab = crontab::parse(b"@daily one\n@daily caf\xe9\n@daily three\n", Form::User);
    assert_eq!(crontab.entries.len(), 2);
    assert_eq!((crontab.faults[0].line, crontab.faults[0].column), (2, Some(11)));
    assert_eq!(crontab.faults[0].reason, Reason::NotText);
}

#[test]
fn everything_has_a_bound() {
    let reasons = |text: &[u8]| -> Vec<Reason> {
        crontab::parse(text, Form::User).faults.into_iter().map(|fault| fault.reason).collect()
    };
    let too_long = vec![b'\n'; FILE_MAX_BYTES + 1];
    assert_eq!(reasons(&too_long), [Reason::FileTooLong { length_bytes: FILE_MAX_BYTES + 1 }]);
    assert_eq!(reasons(&too_long[1..]), []);

    let line = format!("@daily {}", "x".repeat(LINE_MAX_BYTES));
    assert_eq!(reasons(line.as_bytes()), [Reason::LineTooLong { length_bytes: line.len() }]);
    assert_eq!(reasons(&line.as_bytes()[..LINE_MAX_BYTES]), []);

    let crontab = crontab::parse("@daily x\n".repeat(ENTRIES_MAX + 9).as_bytes(), Form::User);
    assert_eq!((crontab.entries.len(), crontab.faults.len()), (ENTRIES_MAX, 1));
    assert_eq!(crontab.faults[0].to_string(), "line 10001: more than 10000 entries; the rest is not read");

    let settings = "A=1\n".repeat(SETTINGS_MAX);
    assert_eq!(reasons(format!("{settings}@daily x").as_bytes()), []);
    assert_eq!(reasons(format!("{settings}B=1\n?\n").as_bytes()), [Reason::TooManySettings]);
    assert_eq!(reasons("?\n".repeat(FAULTS_MAX).as_bytes()).len(), FAULTS_MAX);
    let hopeless = reasons("?\n".repeat(FAULTS_MAX + 9).as_bytes());
    assert_eq!((hopeless.len(), hopeless.last()), (FAULTS_MAX + 1, Some(&Reason::TooManyFaults)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a file holds, every line is accounted for at most once, in order, and what is accepted is a schedule.
    #[test]
    fn any_bytes_are_read(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..4),
                prop::sample::select(vec![
                    "\n", "* * * * * ", "@daily ", "@every 5m ", "root ", "-", "-n ", "%", "\\", "A=", "CRON_TZ=",
                    "'", "\"", "#", "UTC", "RANDOM_DELAY = ", "7", " ", "\t", "\r\n", "1-5/2 ", "~ ", "é",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..40,
        ),
        system: bool,
    ) {
        let text = pieces.concat();
        let crontab = crontab::parse(&text, if system { Form::System } else { Form::User });
        let lines = text.split(|&byte| byte == b'\n').count();
        let mut seen: Vec<usize> = crontab.entries.iter().map(|entry| entry.line).collect();
        seen.extend(crontab.faults.iter().map(|fault| fault.line));
        seen.sort_unstable();
        prop_assert!(seen.is_sorted_by(|a, b| a < b) && seen.iter().all(|line| (1..=lines).contains(line)));
        prop_assert!(crontab.faults.is_sorted_by_key(|fault| fault.line));
        for entry in &crontab.entries {
            let expression = Expression::parse(&entry.schedule, 0);
            prop_assert_eq!(expression.map(|e| e.source().to_owned()), Ok(entry.schedule.clone()));
            prop_assert!(!entry.command.is_empty() && entry.user.is_some() == system);
            prop_assert!(crontab.environment(entry).len() <= lines);
        }
        for fault in &crontab.faults {
            let line = text.split(|&byte| byte == b'\n').nth(fault.line - 1).unwrap_or_default();
            prop_assert!(fault.column.is_none_or(|column| (1..=line.len() + 1).contains(&column)));
            prop_assert!(fault.to_string().len() < 700);
        }
    }
}
