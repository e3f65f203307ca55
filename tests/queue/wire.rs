//! The bytes of replies in both protocols.

use crate::stage::Stage;

/// The reply to a line, in RESP2 and in RESP3, on stages that were prepared alike.
#[track_caller]
fn wire(prepare: &[&str], line: &str, two: &str, three: &str) {
    for (protocol, bytes) in [("2", two), ("3", three)] {
        let mut stage = Stage::new();
        for line in prepare {
            stage.run(line);
        }
        let client = stage.connect();
        stage.send(client, &format!("HELLO {protocol}"));
        let reply = String::from_utf8(stage.send(client, line).0).unwrap();
        assert_eq!(reply.replace("\r\n", " "), bytes, "{line} in RESP{protocol}");
    }
}

#[test]
fn plain_replies_are_the_same_in_both() {
    for (line, bytes) in [
        ("JOB.PUSH q t a", "$3 q:3 "),
        ("JOB.MPUSH q t COUNT 2 PAYLOADS a b", "*2 $3 q:3 $3 q:4 "),
        ("JOB.ACK q:1 1", "+OK "),
        ("JOB.ACK q:1 7", "-STALE q:1 leased "),
        ("JOB.MACK q:1 1 q:1 1", "*2 +OK -STALE q:1 done "),
        ("JOB.FAIL q:1 1 RETRY 0", ":1798761600000 "),
        ("JOB.FAIL q:1 1 NORETRY", "$4 dead "),
        ("JOB.RELEASE q:1 1", "+OK "),
        ("JOB.CANCEL q:2", "*2 $5 ready $9 cancelled "),
        ("JOB.RETRY q:1", "*2 $6 leased $6 leased "),
        ("JOB.SCAN 0 STATE done", "*2 $1 0 *0 "),
        ("QUEUE.LIST", "*1 $1 q "),
        ("LOCK.TAKE l o 5", ":1 "),
        ("CRON.SET s EVERY 5s PUSH q t p", "+OK "),
        ("CRON.DEL s", ":0 "),
        ("CRON.LIST", "*0 "),
        ("CRON.NEXT \"0 1 * * *\"", "*1 :1798765200 "),
    ] {
        wire(&["JOB.MPUSH q t COUNT 2 PAYLOADS x y", "JOB.FETCH w QUEUES q"], line, bytes, bytes);
    }
}

#[test]
fn nothing_is_null() {
    for line in
        ["JOB.GET no", "JOB.CANCEL no", "JOB.RETRY no", "QUEUE.STATS no", "CRON.GET no", "LOCK.INFO no"]
    {
        wire(&[], line, "$-1 ", "_ ");
    }
    wire(&["LOCK.TAKE l a 5s"], "LOCK.TAKE l b 5s", "$-1 ", "_ ");
    wire(&[], "JOB.FETCH w QUEUES q", "*-1 ", "_ ");
}

#[test]
fn deliveries_are_maps() {
    let fields = "$2 id $3 q:1 $5 token :1 $5 queue $1 q $4 type $1 t $7 attempt :1 $4 lost :0 $8 deadline \
                  :1798761630000 $12 scheduled_at :1798761600000 $7 headers ";
    wire(
        &["JOB.PUSH q t \"\""],
        "JOB.FETCH w QUEUES q",
        &format!("*1 *20 {fields}*0 $7 payload $0  "),
        &format!("*1 %10 {fields}%0 $7 payload $0  "),
    );
    wire(
        &["JOB.PUSH q t a", "JOB.FETCH w QUEUES q"],
        "JOB.EXTEND q:1 1",
        "*4 $8 deadline :1798761630000 $6 cancel :0 ",
        "%2 $8 deadline :1798761630000 $6 cancel :0 ",
    );
}

#[test]
fn pictures_are_maps() {
    let null = |text: &str, null: &str| text.replace('~', null);
    let job = "$2 id $3 q:1 $5 queue $1 q $5 state $5 ready $4 prio :0 $7 attempt :0 $8 attempts :10 $4 lost :0 $5 lease \
               :30000 $5 token ~$9 pushed_at :1798761600000 $6 due_at ~$10 started_at ~$8 deadline ~$8 ended_at \
               ~$10 cancelling :0 $7 backoff $19 exp:1000:3600000:0.1 $4 type $1 t $6 worker ~$5 error ~$10 error_kind \
               ~$6 result ~$8 schedule ~$7 payload $1 a ";
    let job = job.replace("$19 exp:1000:3600000:0.1", "$20 exp:1000:3600000:0.1");
    wire(
        &["JOB.PUSH q t a"],
        "JOB.GET q:1",
        &null(&format!("*46 {job}"), "$-1 "),
        &null(&format!("%23 {job}"), "_ "),
    );
    let stats = "$5 queue $1 q $5 ready :1 $7 delayed :0 $6 leased :0 $4 done :0 $4 dead :0 $9 cancelled :0 $15 \
                 oldest_ready_ms :0 $6 pushed :1 $9 scheduled :0 $7 fetched :0 $5 acked :0 $6 failed :0 $7 retried :0 $4 \
                 died :0 $10 called_off :0 $8 released :0 $4 lost :0 $8 extended :0 $5 stale :0 ";
    wire(&["JOB.PUSH q t a"], "QUEUE.STATS q", &format!("*40 {stats}"), &format!("%20 {stats}"));
    let lock = "$4 name $1 l $5 owner $1 o $5 token :1 $8 deadline :1798761605000 ";
    wire(&["LOCK.TAKE l o 5s"], "LOCK.INFO l", &format!("*8 {lock}"), &format!("%4 {lock}"));
    let schedule = "$2 id $1 s $4 spec $14 CRON @every 5s $4 zone $3 UTC $5 queue $1 q $4 type $1 t $7 payload $1 p $7 \
                    options $0  $7 catchup $4 last $7 overlap $4 skip $10 created_at :1798761600000 $7 next_at \
                    :1798761605000 $11 previous_at ~$4 runs :0 $6 missed :0 $7 skipped :0 $8 last_job ~$6 source ~";
    for (line, shape) in [("CRON.GET s", ""), ("CRON.LIST", "*1 ")] {
        wire(
            &["CRON.SET s EVERY 5s PUSH q t p"],
            line,
            &null(&format!("{shape}*34 {schedule}"), "$-1 "),
            &null(&format!("{shape}%17 {schedule}"), "_ "),
        );
    }
}
