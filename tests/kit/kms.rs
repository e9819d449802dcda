//! The API of AWS KMS: moto, and the answers that moto gets wrong.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    client::Request,
    fake::{Act, Fake, answer},
    process::{self, Process, User, free_address},
    wait_until,
};

/// Where the keys are.
pub const REGION: &str = "eu-central-1";

/// What a process needs in its environment to be let in.
pub const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A running moto.
pub struct Moto {
    server: Process,
    address: SocketAddr,
    folder: TempDir,
}

impl Moto {
    /// Starts it, without keys.
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("labseal-moto-").expect("a temporary folder");
        let address = free_address();
        let mut command =
            process::command(User::Same, process::parts().join("moto/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let log = folder.path().join("moto.log");
        let mut server = Process::start(command, &log);
        wait_until("moto", Duration::from_secs(60), || {
            assert!(server.runs(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            Request::get("/moto-api/").try_send(address).is_ok_and(|answer| answer.status == 200)
        });
        Self { server, address, folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Its folder lives as long as it does.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// Asks an endpoint in the name of whoever owns the account.
pub fn ask(address: SocketAddr, act: &str, question: &Value) -> Value {
    let scope = format!("20260101/{REGION}/kms/aws4_request");
    let proof = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{scope}, SignedHeaders=host, Signature=00"
    );
    let request = Request::new("POST", "/")
        .header("X-Amz-Target", &format!("TrentService.{act}"))
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("Authorization", &proof)
        .body(question.to_string().as_bytes());
    let answer = request.send(address);
    assert_eq!(answer.status, 200, "{act}: {}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Makes a key; gives its ARN.
pub fn make_key(address: SocketAddr) -> String {
    let made = ask(address, "CreateKey", &json!({}));
    made["KeyMetadata"]["Arn"].as_str().expect("a key has an ARN").to_owned()
}

/// The ARN of the key in the answers of [`stub`].
pub const ARN: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A server that refuses `Encrypt` and `Decrypt` as AWS does, and says of the key that it is in `state`.
pub fn stub(status: &'static str, code: &'static str, state: &'static str) -> Fake {
    Fake::start(move |request| {
        let target = request.header("X-Amz-Target").unwrap_or_default().to_owned();
        let (status, body) = match target.as_str() {
            "TrentService.DescribeKey" => (
                "200 OK",
                json!({"KeyMetadata": {
                    "KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Arn": ARN, "KeyState": state,
                    "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT",
                }}),
            ),
            // The shape of the service: `__type` names the error, `message` is in either case.
            _ => (status, json!({"__type": code, "message": format!("{ARN} says {code}.")})),
        };
        let kind = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", "r-1")];
        vec![Act::Send(answer(status, &kind, body.to_string().as_bytes()))]
    })
}
