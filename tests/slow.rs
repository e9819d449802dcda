//! Slow clients and slow servers: whatever the pieces that bytes come in, the same bytes arrive, in
//! little memory, and nobody else waits.

mod kit;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use kit::{Act, Front, Labseal, Numbers, Request, Stand, fake, now, policy};

/// Cuts bytes into pieces of random lengths, mostly small ones.
fn pieces(bytes: &[u8], numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let most = [1, 7, 100, 3000][numbers.below(4)];
        let (piece, more) = rest.split_at(rest.len().min(1 + numbers.below(most)));
        pieces.push(piece.to_vec());
        rest = more;
    }
    pieces
}

/// The same body in chunks.
fn chunked(body: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces(body, numbers) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// Sends a request in pieces, with pauses, and takes the answer in bytes or pieces.
fn slowly(labseal: &Labseal, request: &Request, numbers: &mut Numbers) -> Vec<u8> {
    let mut socket = TcpStream::connect(labseal.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for piece in pieces(&request.clone().header("Connection", "close").bytes(), numbers) {
        socket.write_all(&piece).unwrap();
        if numbers.below(8) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (mut got, mut piece) = (Vec::new(), [0; 700]);
    loop {
        let most = [1, 2, 50, 700][numbers.below(4)];
        match socket.read(&mut piece[..most]).unwrap() {
            0 => return got,
            count => got.extend(&piece[..count]),
        }
        if numbers.below(20) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The body of an answer with a length.
fn body(answer: &[u8]) -> String {
    let end = kit::http::find(answer, b"\r\n\r\n").expect("a head") + 4;
    String::from_utf8_lossy(&answer[end..]).into_owned()
}

/// Records that are sealed, and what should come of them.
fn records(from: usize, count: usize, numbers: &mut Numbers) -> String {
    let record = |n: usize, letter: char| {
        let name = letter.to_string().repeat(1 + n % 40);
        format!("{{\"mrn\":\"S{n}\",\"last_name\":\"{name}\",\"ward\":\"W\\u00e9 {n}\"}}")
    };
    let letters = ['a', 'é', '漢', '😀'];
    let all: Vec<_> = (from..from + count).map(|n| record(n, letters[numbers.below(4)])).collect();
    format!("[{}]", all.join(" ,\n"))
}

#[test]
fn a_real_api_has_and_answers_the_same_whatever_the_pieces() {
    let stand = Stand::start();
    let mut numbers = Numbers(1);
    for round in 0..6 {
        let (from, to) = (1000 * (round + 1), 1000 * (round + 1) + 20);
        let written = records(from, 20, &mut numbers);
        let key = stand.labseal.key("lims").to_owned();
        let request = Request::post("/patients", &written).key(&key);
        let answer = slowly(&stand.labseal, &request, &mut numbers);
        assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
        let mrns: Vec<_> = (from..to).map(|n| format!("S{n}")).collect();
        let target =
            format!("/patients?select=mrn,last_name,ward&order=id&mrn=in.({})", mrns.join(","));
        let whole = stand.lims(Request::get(&target));
        let read = slowly(&stand.labseal, &Request::get(&target).key(&key), &mut numbers);
        assert_eq!(body(&read), whole.text());
        let written: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(whole.json(), written, "round {round}");
    }
}

#[test]
fn an_answer_in_any_pieces_is_opened_to_the_same_bytes() {
    let front = Front::with(policy::LAB, |request| {
        let mut numbers = Numbers(request.start.len() as u64);
        let rows = "{\"id\":1,\"ward\":\"W\\u00e9\",\"notes\":null},".repeat(200);
        let text = format!("[{}{{}}]", rows);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\n\r\n";
        let bytes = [head.as_bytes(), &chunked(text.as_bytes(), &mut numbers)].concat();
        if !request.start.contains("/patients?slow") {
            return vec![Act::Send(bytes)];
        }
        let pause = |piece| [Act::Send(piece), Act::Wait(Duration::from_millis(1))];
        pieces(&bytes, &mut numbers).into_iter().flat_map(pause).collect()
    });
    let whole = front.send("lims", Request::get("/patients"));
    assert_eq!(whole.status, 200, "{}", whole.text());
    for n in 0..4 {
        let target = format!("/patients?slow=eq.{}", "x".repeat(n));
        let slow = front.send("lims", Request::get(&target));
        assert_eq!(slow.text(), whole.text());
    }
}

#[test]
fn many_slow_clients_take_little_and_nobody_waits_for_them() {
    let rows = format!("[{}{{}}]", "{\"id\":1,\"ward\":\"W\",\"notes\":null},".repeat(50_000));
    let front = Front::with(policy::LAB, move |request| {
        fake::json(if request.start.contains("long") { &rows } else { "[]" })
    });
    let resident = || {
        let status = format!("/proc/{}/status", front.labseal.pid());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() >> 10
    };
    assert_eq!(front.send("lims", Request::get("/patients")).text(), "[]");
    let before = resident();
    let key = front.labseal.key("lims");
    let (long, write) = (
        Request::get("/patients?ward=eq.long").key(key).bytes(),
        Request::post("/patients", "").key(key).claiming(1 << 30).bytes(),
    );
    // A third reads nothing, a third stops in its body, a third in its head.
    let held: Vec<_> = (0..60)
        .map(|n| {
            let mut socket = TcpStream::connect(front.labseal.address()).unwrap();
            let bytes = match n % 3 {
                0 => &long[..],
                1 => &write[..],
                _ => &long[..20],
            };
            socket.write_all(bytes).unwrap();
            socket
        })
        .collect();
    let began = now();
    for _ in 0..20 {
        assert_eq!(front.send("lims", Request::get("/patients")).text(), "[]");
    }
    let took = now() - began;
    assert!(took < Duration::from_secs(20), "{took:?} for 20 requests");
    let added = resident().saturating_sub(before);
    // What is held back before a head goes out, for each that reads, and buffers beside it.
    assert!(added < 20 * 4 + 60, "{added} MiB for {} slow clients", held.len());
}
