//! The codings themselves: bytes in, bytes out, with a bound on what comes of them.
//!
//! Each is fed in small pieces into a sink that refuses more than it has room for, so a body that
//! expands without end costs no more than a mebibyte before it is given up.

use std::io::{self, Write};

use flate2::{
    Compression, Decompress, FlushDecompress, Status,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

use super::members::{Gunzip, Sink, Unzstd};

/// A content coding that is read and written (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Br,
    /// RFC 1950, or RFC 1951 bare, as some servers mistake it.
    Deflate,
    /// RFC 1952.
    Gzip,
    /// RFC 8878, with windows of at most 8 MiB (RFC 9659).
    Zstd,
}

impl Coding {
    /// The coding of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            ("br", Self::Br),
            ("deflate", Self::Deflate),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("zstd", Self::Zstd),
        ];
        all.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, c)| c)
    }
}

/// Why a coded body is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is not of its coding, or ends too early.
    #[error("the body is not of its content coding")]
    Malformed,
    /// It has too many members for what comes of them.
    #[error("the body has too many members")]
    Scattered,
    /// It expands beyond what is taken.
    #[error("the body expands beyond the limit")]
    TooLarge,
}

/// How much is decoded at a time, and what may come of it.
const PIECE: usize = 1 << 10;
const PIECE_ROOM: usize = 1 << 20;

/// What may come of a body: so much in any case, and beyond it so many times what came.
const FREE: u64 = 1 << 20;
const RATIO: u64 = 200;

enum Decoding {
    Br(Box<brotli::DecompressorWriter<Sink>>),
    Deflate(Inflate),
    Gzip(Box<Gunzip>),
    Zstd(Box<Unzstd>),
}

/// Takes a body out of its coding.
pub struct Decoder {
    decoding: Decoding,
    came: u64,
    gave: u64,
    most: u64,
}

impl Decoder {
    /// For a body of which at most `most` bytes may come.
    pub fn new(coding: Coding, most: u64) -> Result<Self, Broken> {
        let decoding = match coding {
            Coding::Br => {
                let decoder = brotli::DecompressorWriter::new(Sink::default(), 4 << 10);
                Decoding::Br(Box::new(decoder))
            }
            Coding::Deflate => Decoding::Deflate(Inflate::default()),
            Coding::Gzip => Decoding::Gzip(Box::default()),
            Coding::Zstd => Decoding::Zstd(Box::new(Unzstd::new().map_err(|_| Broken::Malformed)?)),
        };
        Ok(Self { decoding, came: 0, gave: 0, most })
    }

    /// Decodes the next bytes, and hands on what comes of them.
    pub fn push<E: From<Broken>>(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in input.chunks(PIECE) {
            self.came += piece.len() as u64;
            let allowed = FREE.max(self.came.saturating_mul(RATIO)).min(self.most);
            let left = usize::try_from(allowed.saturating_sub(self.gave)).unwrap_or(usize::MAX);
            self.sink().room = left.min(PIECE_ROOM);
            let pushed = match &mut self.decoding {
                Decoding::Br(decoder) => decoder.write_all(piece),
                Decoding::Deflate(inflate) => inflate.push(piece),
                Decoding::Gzip(decoder) => decoder.push(piece),
                Decoding::Zstd(decoder) => decoder.push(piece),
            };
            self.hand_on(pushed, &mut take)?;
        }
        Ok(())
    }

    /// Ends the body, which must be whole.
    pub fn finish<E: From<Broken>>(
        mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Nothing at all is no body, whatever coding it would have had.
        if self.came == 0 {
            return Ok(());
        }
        self.sink().room = PIECE_ROOM;
        let finished = match &mut self.decoding {
            Decoding::Br(decoder) => decoder.close(),
            Decoding::Deflate(inflate) => inflate.finish(),
            Decoding::Gzip(decoder) => decoder.finish(),
            Decoding::Zstd(decoder) => decoder.finish(),
        };
        self.hand_on(finished, &mut take)
    }

    fn hand_on<E: From<Broken>>(
        &mut self,
        done: io::Result<()>,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let sink = self.sink();
        if done.is_err() {
            return Err(match sink {
                Sink { is_scattered: true, .. } => Broken::Scattered,
                Sink { is_over: true, .. } => Broken::TooLarge,
                _ => Broken::Malformed,
            }
            .into());
        }
        let bytes = std::mem::take(&mut sink.bytes);
        self.gave += bytes.len() as u64;
        if bytes.is_empty() { Ok(()) } else { take(&bytes) }
    }

    fn sink(&mut self) -> &mut Sink {
        match &mut self.decoding {
            Decoding::Br(decoder) => decoder.get_mut(),
            Decoding::Deflate(inflate) => &mut inflate.sink,
            Decoding::Gzip(decoder) => decoder.sink(),
            Decoding::Zstd(decoder) => decoder.sink(),
        }
    }

    /// Whether deflate came without its wrapping, so that it can go on as it came.
    pub fn is_bare(&self) -> bool {
        matches!(&self.decoding, Decoding::Deflate(Inflate { is_bare: true, .. }))
    }
}

/// Deflate, wrapped or bare: the first two bytes tell.
#[derive(Default)]
struct Inflate {
    sink: Sink,
    first: Vec<u8>,
    state: Option<Decompress>,
    is_bare: bool,
    is_done: bool,
}

impl Inflate {
    fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.state.is_some() {
            return self.inflate(piece);
        }
        self.first.extend_from_slice(piece);
        let [a, b, ..] = self.first[..] else { return Ok(()) };
        let wrapped = a & 0x0f == 8 && (u16::from(a) * 256 + u16::from(b)).is_multiple_of(31);
        self.is_bare = !wrapped;
        self.state = Some(Decompress::new(wrapped));
        let first = std::mem::take(&mut self.first);
        self.inflate(&first)
    }

    fn inflate(&mut self, mut input: &[u8]) -> io::Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let mut out = [0; 8 << 10];
        loop {
            if self.is_done {
                // Bytes after the end are somebody's, and not the body's.
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(io::ErrorKind::InvalidData.into())
                };
            }
            let (read, wrote) = (state.total_in(), state.total_out());
            let status = state
                .decompress(input, &mut out, FlushDecompress::None)
                .map_err(|_| io::ErrorKind::InvalidData)?;
            let read = usize::try_from(state.total_in() - read).unwrap_or(input.len());
            let wrote = usize::try_from(state.total_out() - wrote).unwrap_or(out.len());
            input = input.get(read..).unwrap_or_default();
            self.sink.write_all(out.get(..wrote).unwrap_or_default())?;
            self.is_done = status == Status::StreamEnd;
            if !self.is_done && read == 0 && wrote == 0 {
                let is_stuck = !input.is_empty();
                return if is_stuck { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) };
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.is_done { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Puts a body into a coding.
pub enum Encoder {
    /// Brotli.
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Deflate without its wrapping.
    BareDeflate(DeflateEncoder<Vec<u8>>),
    /// Deflate.
    Deflate(ZlibEncoder<Vec<u8>>),
    /// Gzip.
    Gzip(GzEncoder<Vec<u8>>),
    /// Zstandard.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// An encoder with settings for bodies made on the fly.
    pub fn new(coding: Coding, is_bare: bool) -> io::Result<Self> {
        let level = Compression::default();
        Ok(match coding {
            // Quality 4 and a window of 1 MiB: about what gzip costs.
            Coding::Br => {
                Self::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 4 << 10, 4, 20)))
            }
            Coding::Deflate if is_bare => Self::BareDeflate(DeflateEncoder::new(Vec::new(), level)),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), level)),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), level)),
            Coding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 3)?)),
        })
    }

    /// Encodes bytes; what is ready is appended to `out`, all of it if `flush`.
    pub fn push(&mut self, bytes: &[u8], flush: bool, out: &mut Vec<u8>) -> io::Result<()> {
        fn put(to: &mut impl Write, bytes: &[u8], flush: bool) -> io::Result<()> {
            to.write_all(bytes)?;
            if flush { to.flush() } else { Ok(()) }
        }
        let made = match self {
            Self::Br(to) => put(to, bytes, flush).map(|()| to.get_mut()),
            Self::BareDeflate(to) => put(to, bytes, flush).map(|()| to.get_mut()),
            Self::Deflate(to) => put(to, bytes, flush).map(|()| to.get_mut()),
            Self::Gzip(to) => put(to, bytes, flush).map(|()| to.get_mut()),
            Self::Zstd(to) => put(to, bytes, flush).map(|()| to.get_mut()),
        };
        out.append(made?);
        Ok(())
    }

    /// The end of the body.
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut made = match self {
            Self::Br(to) => to.into_inner(),
            Self::BareDeflate(to) => to.finish()?,
            Self::Deflate(to) => to.finish()?,
            Self::Gzip(to) => to.finish()?,
            Self::Zstd(to) => to.finish()?,
        };
        out.append(&mut made);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 4] = [Coding::Br, Coding::Deflate, Coding::Gzip, Coding::Zstd];

    fn encoded(coding: Coding, is_bare: bool, text: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding, is_bare).unwrap();
        let mut out = Vec::new();
        for piece in text.chunks(1000) {
            encoder.push(piece, piece.len() % 2 == 1, &mut out).unwrap();
        }
        encoder.finish(&mut out).unwrap();
        out
    }

    fn decoded(coding: Coding, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Broken> {
        let mut decoder = Decoder::new(coding, 1 << 30)?;
        let mut out = Vec::new();
        let mut take = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok::<_, Broken>(())
        };
        for piece in bytes.chunks(piece) {
            decoder.push(piece, &mut take)?;
        }
        decoder.finish(&mut take)?;
        Ok(out)
    }

    #[test]
    fn each_coding_gives_back_what_went_in_whatever_the_pieces() {
        let text: Vec<u8> = (0..30_000u32).map(|n| (n * n % 251) as u8).collect();
        for text in [&text[..], b"", b"x"] {
            for (coding, is_bare) in
                ALL.map(|c| (c, false)).into_iter().chain([(Coding::Deflate, true)])
            {
                let coded = encoded(coding, is_bare, text);
                for piece in [1, 7, 4096] {
                    assert_eq!(decoded(coding, &coded, piece).as_deref(), Ok(text), "{coding:?}");
                }
            }
        }
    }

    #[test]
    fn a_body_cut_at_any_byte_or_followed_by_others_is_refused() {
        let text = b"{\"mrn\":\"A1\",\"ward\":\"B2\"}".repeat(3);
        for coding in ALL {
            let coded = encoded(coding, false, &text);
            for end in 1..coded.len() {
                assert!(decoded(coding, &coded[..end], 5).is_err(), "{coding:?} at {end}");
            }
            let longer = [&coded[..], b"junk"].concat();
            assert!(decoded(coding, &longer, 5).is_err(), "{coding:?} and more");
        }
    }

    #[test]
    fn members_and_frames_one_after_the_other_are_one_body() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let coded = [encoded(coding, false, b"[1,"), encoded(coding, false, b"2]")].concat();
            assert_eq!(decoded(coding, &coded, 3).unwrap(), b"[1,2]");
        }
    }

    #[test]
    fn a_body_of_many_members_with_next_to_nothing_in_them_is_given_up() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let (empty, byte) = (encoded(coding, false, b""), encoded(coding, false, b"x"));
            assert_eq!(
                decoded(coding, &empty.repeat(16), 7).as_deref(),
                Ok(&b""[..]),
                "{coding:?}"
            );
            let line = encoded(coding, false, &[b'y'; 100]).repeat(1000);
            assert_eq!(decoded(coding, &line, 1000).map(|all| all.len()), Ok(100_000));
            for member in [empty, byte] {
                let many = decoded(coding, &member.repeat(20), 7);
                assert_eq!(many, Err(Broken::Scattered), "{coding:?}");
            }
        }
        // Frames to be skipped (RFC 8878 §3.1.2).
        let skipped = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(20);
        assert_eq!(decoded(Coding::Zstd, &skipped, 1000), Err(Broken::Scattered));
    }

    #[test]
    fn a_body_that_expands_without_end_is_given_up() {
        for coding in ALL {
            let bomb = encoded(coding, false, &vec![b' '; 64 << 20]);
            assert_eq!(decoded(coding, &bomb, 4096), Err(Broken::TooLarge), "{coding:?}");
        }
    }
}
