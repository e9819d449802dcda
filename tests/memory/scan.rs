//! Looks for secrets in the writable memory of this very process, without holding them.
//!
//! What is looked for is kept masked, and so is each piece of memory before it is compared, so that
//! the search finds no copy of its own.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
};

use memchr::memmem;
use zeroize::Zeroize as _;

const MASK: u8 = 0xa5;
const PIECE: usize = 1 << 20;

/// A secret that is looked for: sixteen bytes of it are enough.
pub struct Canary {
    pub name: String,
    masked: Vec<u8>,
}

impl Canary {
    /// Spells it for the child.
    pub fn spell(name: &str, secret: &[u8]) -> String {
        let hex: String = secret.iter().map(|byte| format!("{:02x}", byte ^ MASK)).collect();
        format!("{name} {hex}")
    }

    pub fn parse(line: &str) -> Self {
        let (name, hex) = line.split_once(' ').unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Self { name: name.to_owned(), masked: (0..hex.len()).step_by(2).map(byte).collect() }
    }

    /// Writes the secret itself where it is to be.
    pub fn reveal(&self, room: &mut [u8]) {
        for (byte, masked) in room.iter_mut().zip(&self.masked) {
            *byte = masked ^ MASK;
        }
    }

    pub fn len(&self) -> usize {
        self.masked.len()
    }

    /// Its first and its last sixteen bytes: an allocator writes over the first of what it is given back.
    fn halves(&self) -> [&[u8]; 2] {
        let half = 16.min(self.masked.len());
        [&self.masked[..half], &self.masked[self.masked.len() - half..]]
    }
}

/// A place in memory where one of the secrets stands.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    pub region: String,
    /// Whether it is the stack of the thread that asked.
    pub is_on_stack: bool,
}

/// Everything that is found in memory that this process can write to. Another thread looks, since the
/// frames of this one would write over what they are to find.
pub fn scan(canaries: &[Canary]) -> Vec<Found> {
    let local = 0_u8;
    let stack = std::ptr::from_ref(&local).addr() as u64;
    std::thread::scope(|scope| scope.spawn(|| look(canaries, stack)).join().unwrap())
}

fn look(canaries: &[Canary], stack: u64) -> Vec<Found> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut piece = vec![0; PIECE];
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let region = words.nth(3).unwrap_or("anonymous").to_owned();
        if !rights.starts_with("rw") || region == "[vvar]" {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let is_on_stack = (at..to).contains(&stack);
        while at < to {
            let length = PIECE.min((to - at) as usize);
            memory.seek(SeekFrom::Start(at)).unwrap();
            if memory.read_exact(&mut piece[..length]).is_err() {
                break;
            }
            piece[..length].iter_mut().for_each(|byte| *byte ^= MASK);
            for canary in canaries {
                for half in canary.halves() {
                    for place in memmem::find_iter(&piece[..length], half) {
                        let place = at + place as u64;
                        let region = match is_on_stack {
                            true => format!("stack-{:x}", stack.abs_diff(place)),
                            false => format!("{region} {place:x}"),
                        };
                        found.push(Found { name: canary.name.clone(), region, is_on_stack });
                    }
                }
            }
            piece.as_mut_slice().zeroize();
            // Pieces overlap, so that a joint hides nothing.
            at += if at + length as u64 == to { length as u64 } else { (length - 16) as u64 };
        }
    }
    found
}
