//! Bodies that are larger than the memory they may take, both ways, and long answers that break off.

mod kit;

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use kit::{
    Act, Front, Labseal, Request,
    long::{PATIENCE, ROWS, Series, chunk, read, write},
    policy,
};

#[test]
fn a_long_list_is_opened_in_little_memory() {
    read(Series::List, 128 << 20).assert_bounded();
}

#[test]
fn records_on_lines_are_opened_and_sealed_in_little_memory() {
    read(Series::Lines, 64 << 20).assert_bounded();
    write(Series::Lines, 64 << 20).assert_bounded();
}

#[test]
fn a_bulk_write_is_sealed_in_little_memory_and_goes_up_with_its_exact_length() {
    write(Series::List, 64 << 20).assert_bounded();
}

/// All that comes up to the end, and how it ends.
fn to_the_end(request: &Request, labseal: &Labseal) -> (Vec<u8>, io::Result<usize>) {
    let mut socket = TcpStream::connect(labseal.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&request.bytes()).unwrap();
    let mut got = Vec::new();
    let end = socket.read_to_end(&mut got);
    (got, end)
}

#[test]
fn a_long_answer_that_is_cut_is_never_a_clean_end() {
    let acts = Arc::new(Mutex::new(Vec::new()));
    let reply = acts.clone();
    let front = Front::with(policy::LAB, move |_| reply.lock().unwrap().clone());
    let ward = "a ward with a name ".repeat(20);
    let rows = format!(r#"{{"id":1,"ward":"{ward}","notes":null}},"#).repeat(ROWS);
    // More than is held back before the head goes out.
    let times = (4 << 20) / rows.len();
    let head = |framing: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n")
    };
    let upstreams = [
        (head("Transfer-Encoding: chunked") + "1\r\n[\r\n", chunk(&rows)),
        (head("Content-Length: 100000000") + "[", rows.clone().into_bytes()),
        (head("Connection: close") + "[", rows.clone().into_bytes()),
    ];
    let request = Request::get("/patients").key(front.labseal.key("lims"));
    let mut cases = 0;
    for (head, rows) in upstreams {
        for cut in [Act::Close, Act::Reset] {
            let sends = [Act::Send(head.clone().into()), Act::Repeat(rows.clone(), times)];
            *acts.lock().unwrap() = [&sends[..], std::slice::from_ref(&cut)].concat();

            let (got, end) = to_the_end(&request, &front.labseal);
            let case = format!("{head}{cut:?}: {} bytes, {end:?}", got.len());
            // A reset may overtake what was sent before it: then nothing was released at all.
            let may_overtake = matches!(cut, Act::Reset);
            let refused = |got: &[u8]| may_overtake && got.windows(5).any(|text| text == b"LS503");
            assert!(got.starts_with(b"HTTP/1.1 200 ") || refused(&got), "{case}");
            assert!(end.is_err() || refused(&got) || !got.ends_with(b"\r\n0\r\n\r\n"), "{case}");
            let again = request.try_send(front.labseal.address());
            assert!(again.map_or(true, |answer| may_overtake && answer.status == 502), "{case}");

            // Without chunks only a reset tells a cut from an end.
            let (got, end) = to_the_end(&request.clone().old(), &front.labseal);
            let case = format!("{head}{cut:?}: {} bytes, {end:?}", got.len());
            assert!(got.starts_with(b"HTTP/1."), "{case}");
            let kind = end.err().map(|error| error.kind());
            assert!(kind == Some(ErrorKind::ConnectionReset) || refused(&got), "{case}");
            cases += 1;
        }
    }
    assert_eq!(cases, 6);
}
