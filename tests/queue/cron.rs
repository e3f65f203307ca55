//! CRON.SET, CRON.GET, CRON.LIST, CRON.DEL, CRON.NEXT, CRON.LOAD, and what fires when.

use pbj_store::resp::value::Value;
use pbj_tests::lab::shown;

use crate::stage::Stage;

/// Midnight of New Year 2027, when a stage begins.
const BEGAN: u64 = 1_798_761_600_000;

fn field(stage: &mut Stage, id: &str, name: &str) -> String {
    let schedule = stage.ask(&format!("CRON.GET {id}"));
    schedule.field(name).map_or_else(|| "none".to_owned(), shown)
}

fn fields(stage: &mut Stage, id: &str, names: [&str; 3]) -> String {
    names.map(|name| field(stage, id, name)).join(" ")
}

fn ids(stage: &mut Stage, queue: &str) -> Vec<String> {
    let reply = stage.ask(&format!("JOB.SCAN 0 QUEUE {queue} COUNT 1000000"));
    let mut ids: Vec<String> =
        reply.items().unwrap()[1].items().unwrap().iter().map(|id| id.text().unwrap()).collect();
    ids.sort();
    ids
}

#[test]
fn everything_about_a_schedule_can_be_read() {
    let mut stage = Stage::new();
    stage.expect(
        "CRON.SET nightly cron \"30 4 * * *\" tz Europe/Berlin catchup ALL overlap Allow push mail send hello PRIO -1 \
         ATTEMPTS 2 LOST 1 BACKOFF fixed:1s LEASE 1m KEEP 1h DELAY 5s",
        "OK",
    );
    for (name, value) in [
        ("id", "nightly"),
        ("spec", "CRON 30 4 * * *"),
        ("zone", "Europe/Berlin"),
        ("queue", "mail"),
        ("type", "send"),
        ("payload", "hello"),
        ("options", "PRIO -1 ATTEMPTS 2 LOST 1 BACKOFF fixed:1000 LEASE 60000 KEEP 3600000 DELAY 5000"),
        ("catchup", "all"),
        ("overlap", "allow"),
        ("previous_at", "nothing"),
        ("runs", "0"),
        ("missed", "0"),
        ("skipped", "0"),
        ("last_job", "nothing"),
        ("source", "nothing"),
    ] {
        assert_eq!(field(&mut stage, "nightly", name), value, "{name}");
    }
    let next = BEGAN + (3 * 60 + 30) * 60_000;
    assert_eq!(field(&mut stage, "nightly", "next_at"), next.to_string());
    assert_eq!(field(&mut stage, "nightly", "created_at"), BEGAN.to_string());
    stage.pass(next - BEGAN);
    let job = format!("cron:nightly@{next}");
    for (name, value) in
        [("state", "delayed"), ("prio", "-1"), ("attempts", "2"), ("lease", "60000"), ("schedule", "nightly")]
    {
        assert_eq!(stage.field(&job, name), value, "{name}");
    }
    assert_eq!(fields(&mut stage, "nightly", ["runs", "previous_at", "last_job"]), format!("1 {next} {job}"));
}

#[test]
fn intervals_count_from_their_beginning_and_do_not_drift() {
    let mut stage = Stage::new();
    stage.pass(333);
    stage.run("CRON.SET s EVERY 700 OVERLAP allow PUSH q t p");
    stage.pass(699);
    assert_eq!(ids(&mut stage, "q").len(), 0);
    stage.pass(1);
    assert_eq!(ids(&mut stage, "q"), [format!("cron:s@{}", BEGAN + 1033)]);
    stage.pass(70_000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "101 0 0");
}

#[test]
fn a_date_fires_once_and_the_schedule_stays_to_be_seen() {
    let mut stage = Stage::new();
    stage.run("CRON.SET once AT 2027-01-01T00:00:05Z PUSH q t p");
    stage.pass(4999);
    assert_eq!(ids(&mut stage, "q").len(), 0);
    stage.pass(1);
    assert_eq!(ids(&mut stage, "q"), [format!("cron:once@{}", BEGAN + 5000)]);
    assert_eq!(
        fields(&mut stage, "once", ["runs", "next_at", "spec"]),
        format!("1 nothing AT {}", BEGAN + 5000)
    );
    stage.run("CRON.SET past AT 5 PUSH q t p");
    assert_eq!(fields(&mut stage, "past", ["runs", "next_at", "spec"]), "0 nothing AT 5");
}

#[test]
fn a_fire_is_left_out_while_the_job_before_is_not_over() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s EVERY 1s PUSH q t p");
    stage.pass(3000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "1 0 2");
    let (id, token) = stage.fetch("q");
    stage.pass(1000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "1 0 3");
    stage.run(&format!("JOB.ACK {id} {token}"));
    stage.pass(1000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "2 0 3");
}

/// Two hours down, a fire every ten minutes: twelve times passed.
#[test]
fn after_a_time_down_each_schedule_does_as_it_chose() {
    let mut stage = Stage::new();
    for policy in ["none", "last", "all"] {
        stage.run(&format!(
            "CRON.SET {policy} CRON \"*/10 * * * *\" CATCHUP {policy} OVERLAP allow PUSH {policy}-q t p"
        ));
    }
    stage.pass(600_000);
    stage.restart(7_200_000);
    stage.pass(0);
    assert_eq!(fields(&mut stage, "none", ["runs", "missed", "skipped"]), "1 12 0");
    assert_eq!(fields(&mut stage, "last", ["runs", "missed", "skipped"]), "2 11 0");
    assert_eq!(fields(&mut stage, "all", ["runs", "missed", "skipped"]), "13 0 0");
    assert_eq!(ids(&mut stage, "last-q"), [600_000, 7_800_000].map(|ms| format!("cron:last@{}", BEGAN + ms)));
    assert_eq!(ids(&mut stage, "all-q").len(), 13);
    stage.pass(600_000);
    assert_eq!(fields(&mut stage, "none", ["runs", "missed", "skipped"]), "2 12 0");
}

#[test]
fn at_most_a_thousand_missed_fires_are_made_up_for() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s EVERY 1s CATCHUP all OVERLAP allow PUSH q t p");
    stage.restart(1_500_000);
    stage.pass(0);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "1000 500 0");
}

/// While the daemon runs, times pass unseen only when somebody sets the clock: then the last one fires.
#[test]
fn setting_the_clock_forward_fires_once_and_back_never_again() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s CRON \"*/10 * * * *\" OVERLAP allow PUSH q t p");
    stage.set_wall(7_200_000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "1 11 0");
    stage.set_wall(-3_600_000);
    stage.pass(3_600_000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "1 11 0");
    stage.pass(600_000);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), "2 11 0");
}

#[test]
fn at_reboot_fires_after_a_boot_and_not_after_a_restart() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s CRON @reboot OVERLAP allow PUSH q t p");
    stage.restart(1000);
    assert_eq!(field(&mut stage, "s", "runs"), "0");
    stage.reboot(1000);
    assert_eq!(field(&mut stage, "s", "runs"), "1");
    stage.restart(1000);
    assert_eq!(field(&mut stage, "s", "runs"), "1");
    stage.reboot(1000);
    assert_eq!(field(&mut stage, "s", "runs"), "2");
}

#[test]
fn a_deleted_schedule_fires_no_more_and_its_jobs_stay() {
    let mut stage = Stage::new();
    stage.run("CRON.SET a EVERY 1s PUSH q t p");
    stage.run("CRON.SET b EVERY 1h PUSH q t p");
    stage.pass(1000);
    stage.expect("CRON.DEL a none b", "2");
    stage.expect("CRON.LIST", "[]");
    stage.pass(7_200_000);
    assert_eq!(ids(&mut stage, "q").len(), 1);
}

#[test]
fn lists_are_by_database_and_in_the_order_of_ids() {
    let mut stage = Stage::new();
    for id in ["b", "a", "c"] {
        stage.run(&format!("CRON.SET {id} EVERY 1h PUSH q t p"));
    }
    stage.run("SELECT 1");
    stage.run("CRON.SET a EVERY 1s PUSH q t p");
    let list = |stage: &mut Stage| {
        let all = stage.ask("CRON.LIST");
        all.items().unwrap().iter().map(|one| one.field("id").unwrap().text().unwrap()).collect::<String>()
    };
    assert_eq!(list(&mut stage), "a");
    stage.pass(1000);
    assert_eq!(ids(&mut stage, "q").len(), 1);
    stage.run("SELECT 0");
    assert_eq!(list(&mut stage), "abc");
    assert_eq!(ids(&mut stage, "q").len(), 0);
}

#[test]
fn next_times_of_an_expression() {
    let mut stage = Stage::new();
    let second = BEGAN / 1000;
    stage.expect("CRON.NEXT \"*/15 * * * *\" COUNT 2", &format!("[{} {}]", second + 900, second + 1800));
    stage.expect("CRON.NEXT \"30 2 * * *\" TZ America/New_York FROM 1804957200", "[1805007600]");
    stage.expect("CRON.NEXT \"0 0 30 2 *\"", "[]");
    let many = stage.ask("CRON.NEXT \"* * * * *\" COUNT 10000");
    assert_eq!(many.items().map(<[Value]>::len), Some(10_000));
}

#[test]
fn a_crontab_becomes_schedules_and_is_replaced_as_a_whole() {
    let mut stage = Stage::new();
    let table = "SHELL=/bin/bash\\n5 0 * * * $HOME/bin/daily\\n@hourly true\\n";
    let loaded = stage.ask(&format!("CRON.LOAD \"{table}\" REPLACE user QUEUE sys TZ UTC"));
    let made: Vec<String> = loaded.items().unwrap().iter().map(|id| id.text().unwrap()).collect();
    assert!(made.len() == 2 && made.iter().all(|id| id.starts_with("user:")));
    for (name, value) in [
        ("source", "user"),
        ("queue", "sys"),
        ("type", "exec"),
        ("options", "ATTEMPTS 1"),
        ("catchup", "none"),
    ] {
        assert_eq!(field(&mut stage, &made[0], name), value, "{name}");
    }
    assert!(field(&mut stage, &made[0], "payload").contains("/bin/bash"));
    // The line that stays keeps its schedule, as it was.
    stage.pass(400_000);
    let runs = field(&mut stage, &made[0], "runs");
    assert_eq!(runs, "1");
    let again = stage
        .ask("CRON.LOAD \"SHELL=/bin/bash\\n5 0 * * * $HOME/bin/daily\\n\" REPLACE user QUEUE sys TZ UTC");
    assert_eq!(again.items().unwrap()[0].text().as_ref(), Some(&made[0]));
    assert_eq!(field(&mut stage, &made[0], "runs"), "1");
    assert_eq!(stage.run(&format!("CRON.GET {}", made[1])), "nothing");
    let fault = stage.run("CRON.LOAD \"61 * * * * true\\nnonsense\\n\" REPLACE user");
    assert!(fault.starts_with("-ERR ") && fault.ends_with("nothing was loaded"), "{fault}");
    assert_eq!(field(&mut stage, &made[0], "runs"), "1");
}

#[test]
fn every_time_fires_once_over_any_number_of_restarts() {
    let mut stage = Stage::new();
    stage.run("CRON.SET s EVERY 10s CATCHUP all OVERLAP allow PUSH q t p");
    for down in [0, 1, 9_999, 10_000, 60_000, 3_600_000] {
        stage.pass(5_000);
        stage.restart(down);
    }
    stage.pass(10_000);
    let passed = (stage.wall_ms() - BEGAN) / 10_000;
    assert_eq!(ids(&mut stage, "q").len() as u64, passed);
    assert_eq!(fields(&mut stage, "s", ["runs", "missed", "skipped"]), format!("{passed} 0 0"));
}
