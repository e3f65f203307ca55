//! Schedules and crontab files.

use serde_json::{Value as Json, json};

use crate::support::{Daemon, lines_in, text, until};

const OF_A_USER: &str = "# m h  dom mon dow   command
SHELL=/bin/bash
MAILTO=\"\"
17 *\t* * *\tcd / && run-parts --report /etc/cron.hourly
25 6 * * 1-5  echo \"50\\% of $HOME\"
@daily cat > daily%with input
";
const OF_THE_SYSTEM: &str = "SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.weekly )
";

fn schedules(daemon: &Daemon) -> Vec<Json> {
    daemon.json(&["cron", "list"])["schedules"].as_array().unwrap().clone()
}

fn payload(schedule: &Json) -> Json {
    serde_json::from_str(schedule["payload"].as_str().unwrap()).unwrap()
}

#[test]
fn a_crontab_of_a_user_becomes_schedules() {
    let daemon = Daemon::start();
    std::fs::write(daemon.path("tab"), OF_A_USER).unwrap();
    let ids = daemon.json(&["cron", "load", "tab", "--replace", "--tz", "Europe/Berlin"]);
    assert_eq!(ids["schedules"].as_array().unwrap().len(), 3);
    let all = schedules(&daemon);
    let find = |spec: &str| all.iter().find(|schedule| schedule["spec"] == format!("CRON {spec}")).unwrap();
    let hourly = find("17 *\t* * *");
    assert_eq!(
        (&hourly["zone"], &hourly["queue"], &hourly["type"]),
        (&json!("Europe/Berlin"), &json!("cron"), &json!("exec"))
    );
    let argv = json!(["/bin/bash", "-c", "cd / && run-parts --report /etc/cron.hourly"]);
    assert_eq!(payload(hourly)["argv"], argv);
    assert_eq!(payload(find("25 6 * * 1-5"))["argv"][2], "echo \"50% of $HOME\"");
    assert_eq!(payload(find("@daily"))["stdin"].as_str().map(str::trim_end), Some("with input"));
    // What is not in the file any more is not scheduled any more; what is still in it keeps its id.
    let kept = hourly["id"].clone();
    std::fs::write(
        daemon.path("tab"),
        "SHELL=/bin/bash\nMAILTO=\"\"\n17 *\t* * *\tcd / && run-parts --report /etc/cron.hourly\n",
    )
    .unwrap();
    let ids = daemon.json(&["cron", "load", "tab", "--replace", "--tz", "Europe/Berlin"]);
    assert_eq!(ids["schedules"], json!([kept]));
    assert_eq!(schedules(&daemon).len(), 1);
    let table = daemon.says(&["cron", "list"]);
    assert!(
        table.starts_with("ID") && table.contains("Europe/Berlin") && table.contains("cd / && run-parts"),
        "{table}"
    );
    let id = kept.as_str().unwrap();
    assert_eq!(daemon.json(&["cron", "get", id])["id"], kept);
    assert_eq!(daemon.says(&["cron", "del", id]), "Deleted 1 schedule.");
    assert_eq!(daemon.call(&["cron", "del", id]).status.code(), Some(1));
    assert_eq!(daemon.call(&["cron", "get", id]).status.code(), Some(1));
}

#[test]
fn a_crontab_of_the_system_names_users() {
    let daemon = Daemon::start();
    std::fs::write(daemon.path("tab"), OF_THE_SYSTEM).unwrap();
    daemon.says(&["cron", "load", "--system", "tab"]);
    let all = schedules(&daemon);
    assert_eq!(all.len(), 2);
    for schedule in &all {
        assert_eq!(payload(schedule)["user"], "root");
        assert!(payload(schedule)["env"]["PATH"].as_str().unwrap().starts_with("/usr/local/sbin"));
    }
}

#[test]
fn every_fault_of_a_crontab_is_named_and_nothing_is_loaded() {
    let daemon = Daemon::start();
    std::fs::write(daemon.path("tab"), "* * * * * true\n61 * * * * true\n* * * * true\n@dayly true\n")
        .unwrap();
    let output = daemon.call(&["cron", "load", "tab"]);
    assert_eq!(output.status.code(), Some(65));
    let said = text(&output.stderr);
    for line in ["line 2", "line 3", "line 4"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(schedules(&daemon).is_empty());
    // The commonest mistake of all is recognised.
    std::fs::write(daemon.path("tab"), "SHELL=/bin/sh\n0 0 * * * root\n").unwrap();
    std::fs::write(daemon.path("system"), "0 0 * * * /usr/bin/true\n").unwrap();
    let output = daemon.call(&["cron", "load", "--system", "system"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(text(&output.stderr).contains("With --user the file can be read."), "{output:?}");
}

/// Row 60 of the vectors: the clocks of Berlin jump over half past two.
#[test]
fn next_times_follow_the_clocks_of_a_zone() {
    let daemon = Daemon::start();
    let words = [
        "cron",
        "next",
        "30 2 * * *",
        "--tz",
        "Europe/Berlin",
        "--from",
        "2027-03-27T11:00:00Z",
        "--count",
        "3",
    ];
    let answer = daemon.json(&words);
    let local: Vec<&str> =
        answer["times"].as_array().unwrap().iter().map(|time| time["local"].as_str().unwrap()).collect();
    assert_eq!(
        local,
        ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00", "2027-03-30T02:30:00+02:00"]
    );
    assert!(daemon.says(&words).starts_with("Sun 2027-03-28 03:00:00 +02:00"));
    let never = daemon.says(&["cron", "next", "0 0 30 2 *"]);
    assert_eq!(never, "Never.");
    let wrong = daemon.call(&["cron", "next", "61 * * * *"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("61"), "{wrong:?}");
    // Without --tz it is the zone of this machine.
    let output =
        daemon.command(&["--json", "cron", "next", "@daily"]).env("TZ", "Asia/Kathmandu").output().unwrap();
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["zone"], "Asia/Kathmandu");
    assert!(answer["times"][0]["local"].as_str().unwrap().ends_with("T00:00:00+05:45"), "{answer}");
}

#[test]
fn lines_of_a_crontab_fire_and_run() {
    let daemon = Daemon::start();
    let home = daemon.folder.path().to_str().unwrap();
    let tab = format!(
        "HOME={home}\nGREETING=hello\n@every 1s cat > /dev/null; echo $GREETING $PBJ_QUEUE >> fired%input\n"
    );
    std::fs::write(daemon.path("tab"), tab).unwrap();
    daemon.says(&["cron", "load", "tab"]);
    let _worker = daemon.worker(&["--queue", "cron"]);
    until("it fired twice", || lines_in(&daemon.path("fired")) >= 2);
    let fired = std::fs::read_to_string(daemon.path("fired")).unwrap();
    assert!(fired.starts_with("hello cron\nhello cron\n"), "{fired}");
    let jobs = daemon.json(&["jobs", "--queue", "cron", "--state", "done"]);
    let job = &jobs["jobs"][0];
    assert!(job["schedule"].as_str().unwrap().contains("tab:"), "{job}");
}

#[test]
fn schedules_are_set_one_by_one() {
    let daemon = Daemon::start();
    let set =
        ["cron", "set", "tick", "--every", "1s", "--overlap", "skip", "--", "sh", "-c", "echo x >> ticks"];
    let folder = daemon.folder.path().to_str().unwrap().to_owned();
    let schedule = daemon.json(&set);
    assert_eq!(
        (&schedule["id"], &schedule["overlap"], &schedule["options"]),
        (&json!("tick"), &json!("skip"), &json!("ATTEMPTS 1"))
    );
    let _worker = daemon.worker(&["--queue", "cron"]);
    until("it ticked", || lines_in(&std::path::Path::new(&folder).join("ticks")) >= 1);
    let other = [
        "cron",
        "set",
        "mail",
        "--cron",
        "0 9 * * mon",
        "--tz",
        "UTC",
        "--queue",
        "mail",
        "--type",
        "digest",
        "--payload",
        "all",
    ];
    let schedule = daemon.json(&other);
    assert_eq!(
        (&schedule["type"], &schedule["payload"], &schedule["spec"]),
        (&json!("digest"), &json!("all"), &json!("CRON 0 9 * * mon"))
    );
    assert_eq!(daemon.call(&["cron", "set", "x", "--", "true"]).status.code(), Some(64));
    assert_eq!(
        daemon.call(&["cron", "set", "x", "--every", "1m", "--cron", "@daily", "--", "true"]).status.code(),
        Some(64)
    );
}

/// Jobs of schedules were told when they were pushed, some milliseconds late, and at a second attempt when that was
/// due.
#[test]
fn a_job_of_a_schedule_knows_its_nominal_time_at_every_attempt() {
    let daemon = Daemon::start();
    let script = "echo $PBJ_SCHEDULED_AT >> told.$PBJ_JOB_ID; test $PBJ_ATTEMPT = 2";
    let folder = daemon.folder.path().to_str().unwrap();
    let script = format!("cd {folder}; {script}");
    daemon.says(&[
        "cron",
        "set",
        "tick",
        "--every",
        "1s",
        "--attempts",
        "2",
        "--backoff",
        "fixed:5ms",
        "--",
        "sh",
        "-c",
        &script,
    ]);
    let _worker = daemon.worker(&["--queue", "cron"]);
    let mut done = Json::Null;
    until("a job had two attempts", || {
        done = daemon.json(&["jobs", "--queue", "cron", "--state", "done"]);
        done["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty())
    });
    let id = done["jobs"][0]["id"].as_str().unwrap();
    let (_, nominal) = id.rsplit_once('@').unwrap();
    let told = std::fs::read_to_string(daemon.path(&format!("told.{id}"))).unwrap();
    assert_eq!(told, format!("{nominal}\n{nominal}\n"));
}
