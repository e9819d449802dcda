//! Streams of events: opened one by one, let go at once, never cut cleanly.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Mutex,
    time::Duration,
};

use crate::kit::{Act, Front, Request, policy};

/// An API with a feed: what was written, as events with a pause between, and then `end`.
fn feed(end: Act, pause: Duration) -> Front {
    let last = Mutex::new(String::new());
    Front::with(policy::ROUTES, move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.text();
            return crate::kit::fake::json("{}");
        }
        let row = last.lock().unwrap().clone();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
        vec![
            Act::Send(head.into()),
            Act::Wait(pause),
            Act::Send(chunk(": hello\n\n")),
            Act::Send(chunk(&format!("id: 1\r\nevent: row\r\ndata: {row}\r\n\r\n"))),
            Act::Wait(pause),
            Act::Send(chunk("data: ping\n\ndata:[")),
            Act::Send(chunk(&format!("\ndata: {row}\ndata:]\n\n"))),
            end.clone(),
        ]
    })
}

/// The text of the chunks so far that are followed by an empty line.
fn until_blank(from: &mut impl std::io::BufRead) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") && !text.ends_with("\r\n\r\n") {
        let mut size = String::new();
        from.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut piece = vec![0; size + 2];
        from.read_exact(&mut piece).unwrap();
        text.push_str(std::str::from_utf8(&piece[..size]).unwrap());
    }
    text
}

fn connect(front: &Front) -> BufReader<TcpStream> {
    let write = Request::post("/readings", r#"{"mrn":"A1","value":1.50}"#);
    assert_eq!(front.send("lims", write).status, 200);
    let mut socket = TcpStream::connect(front.labseal.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = Request::get("/readings/7").key(front.labseal.key("lims"));
    socket.write_all(&request.bytes()).unwrap();
    BufReader::new(socket)
}

fn head(from: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(from.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head
}

#[test]
fn each_event_is_opened_and_let_go_before_the_next_one_comes() {
    let pause = Duration::from_secs(2);
    let front = feed(Act::Send(b"0\r\n\r\n".into()), pause);
    let mut socket = connect(&front);
    let began = crate::kit::now();
    let head = head(&mut socket);
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    assert!(crate::kit::now() - began < pause, "the head waited for the first event");
    assert_eq!(until_blank(&mut socket), ": hello\n\n");
    let opened = until_blank(&mut socket);
    assert_eq!(opened, "id: 1\r\nevent: row\r\ndata: {\"mrn\":\"A1\",\"value\":1.50}\r\n\r\n");
    assert!(crate::kit::now() - began < 2 * pause, "the event waited for the next one");
    assert_eq!(until_blank(&mut socket), "data: ping\n\n");
    let rest = until_blank(&mut socket);
    assert!(rest.contains("A1") || rest.contains("ls1d"), "{rest}");
}

#[test]
fn a_feed_that_breaks_off_is_never_a_clean_end() {
    for end in [Act::Close, Act::Reset] {
        let front = feed(end, Duration::from_millis(10));
        let mut socket = connect(&front);
        let mut got = Vec::new();
        let ended = socket.read_to_end(&mut got);
        assert!(
            ended.is_err() || !got.ends_with(b"0\r\n\r\n"),
            "{}",
            String::from_utf8_lossy(&got)
        );
    }
}

#[test]
fn lines_that_end_in_any_way_are_lines_and_a_byte_order_mark_is_none() {
    let last = Mutex::new(String::new());
    let front = Front::with(policy::ROUTES, move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.text();
            return crate::kit::fake::json("{}");
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let row = last.lock().unwrap().clone();
        let events = format!(
            "\u{feff}data: {row}\r\rdata: {row}\r\n\r\ndata: [\rdata: {row}]\n\ndata: {row}\r\r"
        );
        let size = if request.start.contains("bytes") { 1 } else { events.len() };
        let mut acts = vec![Act::Send(head.into())];
        for piece in events.as_bytes().chunks(size) {
            let mut chunk = format!("{size:x}\r\n").into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            acts.push(Act::Send(chunk));
        }
        acts.push(Act::Send(b"0\r\n\r\n".into()));
        acts
    });
    let write = Request::post("/readings", r#"{"mrn":"A1","value":1.50}"#);
    assert_eq!(front.send("lims", write).status, 200);
    let row = r#"{"mrn":"A1","value":1.50}"#;
    for target in ["/readings/whole", "/readings/bytes"] {
        let answer = front.send("lims", Request::get(target));
        let opened = format!(
            "\u{feff}data: {row}\r\rdata: {row}\r\n\r\ndata: [\ndata: {row}]\n\ndata: {row}\r\r"
        );
        assert_eq!(answer.text(), opened, "{target}");
    }
}
