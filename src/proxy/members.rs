//! Codings whose bodies may have several members, or frames, one after the other: each costs a new
//! state, so only so many are begun for what comes of them.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// How many members any body may have, and for how many bytes it may have one more.
const FREE_MEMBERS: u64 = 16;
const BYTES_OF_A_MEMBER: u64 = 64;

/// RFC 9659: receivers need not take larger windows, and we hold one.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Where decoded bytes go.
#[derive(Default)]
pub struct Sink {
    /// What was decoded and not yet handed on.
    pub bytes: Vec<u8>,
    /// How much of it there may be.
    pub room: usize,
    /// Whether there was more.
    pub is_over: bool,
    /// Whether there were too many members.
    pub is_scattered: bool,
    members: u64,
    total: u64,
}

impl Sink {
    /// One more member has ended.
    fn end_member(&mut self) -> io::Result<()> {
        self.members += 1;
        self.is_scattered = self.members > FREE_MEMBERS + self.total / BYTES_OF_A_MEMBER;
        if self.is_scattered { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            self.is_over = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gzip: members (RFC 1952 §2.2).
pub struct Gunzip(GzDecoder<Sink>);

impl Default for Gunzip {
    fn default() -> Self {
        Self(GzDecoder::new(Sink::default()))
    }
}

impl Gunzip {
    /// Decodes the next bytes.
    pub fn push(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            let taken = self.0.write(piece)?;
            piece = piece.get(taken..).unwrap_or_default();
            // What a member takes nothing of is the next one's.
            if taken == 0 {
                self.0.try_finish()?;
                let sink = std::mem::take(self.0.get_mut());
                self.0 = GzDecoder::new(sink);
                self.0.get_mut().end_member()?;
            }
        }
        self.0.flush()
    }

    /// Ends the body, which must be whole.
    pub fn finish(&mut self) -> io::Result<()> {
        self.0.try_finish()
    }

    /// Where its bytes go.
    pub fn sink(&mut self) -> &mut Sink {
        self.0.get_mut()
    }
}

/// Zstandard: frames, some of which hold nothing (RFC 8878 §3.1).
pub struct Unzstd {
    decoder: Decoder<'static>,
    sink: Sink,
    /// Whether the last frame has ended.
    is_whole: bool,
    out: Box<[u8]>,
}

impl Unzstd {
    /// For a new body.
    pub fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
        let out = vec![0; 16 << 10].into();
        Ok(Self { decoder, sink: Sink::default(), is_whole: false, out })
    }

    /// Decodes the next bytes.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(piece);
        loop {
            let mut out = OutBuffer::around(&mut self.out[..]);
            self.is_whole = self.decoder.run(&mut input, &mut out)? == 0;
            self.sink.write_all(out.as_slice())?;
            let is_full = out.pos() == out.capacity();
            if self.is_whole {
                self.sink.end_member()?;
            }
            if input.pos() == piece.len() && (self.is_whole || !is_full) {
                return Ok(());
            }
        }
    }

    /// Ends the body, which must be whole.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.is_whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Where its bytes go.
    pub fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }
}
