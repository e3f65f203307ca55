//! PBJ inside of a program: no port, no other process, and still a log that survives a power cut.
//!
//! `cargo run -p pbj-examples --bin embedded -- FOLDER`

use pbj::embedded::{Client, Embedded};
use pbj_store::resp::value::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let pbj = Embedded::open(folder.as_ref())?;
    let (producer, worker) = (pbj.connect(), pbj.connect());
    let (worked, produced) = tokio::join!(work(&worker, 3), produce(&producer));
    produced?;
    println!("{} jobs done", worked?);
    pbj.close();
    Ok(())
}

async fn produce(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
    for name in ["ada", "grace", "barbara"] {
        client.call(&[b"JOB.PUSH", b"mail", b"send", name.as_bytes(), b"DELAY", b"10ms"]).await?;
    }
    Ok(())
}

async fn work(client: &Client, jobs: usize) -> Result<usize, Box<dyn std::error::Error>> {
    let mut done = 0;
    while done < jobs {
        let fetched = client.call(&[b"JOB.FETCH", b"rust-1", b"BLOCK", b"0", b"QUEUES", b"mail"]).await?;
        for job in fetched.items().unwrap_or_default() {
            let text = |name| job.field(name).and_then(Value::text).unwrap_or_default();
            println!("sending to {}", text("payload"));
            client.call(&[b"JOB.ACK", text("id").as_bytes(), text("token").as_bytes()]).await?;
            done += 1;
        }
    }
    Ok(done)
}
