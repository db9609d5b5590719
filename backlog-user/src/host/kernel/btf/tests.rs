//! Compares lookups in the BTF of this machine's kernel with those of the library.

use std::fs;

use backlog_tests::types::{self, FILE};
use btfparse::{Offset, TypeInformation, TypeVariant};

use super::{Btf, Field};

fn field(types: &TypeInformation, id: u32, path: &str) -> Option<Field> {
    Some(match types.offset_of(id, path).ok()?.1 {
        Offset::ByteOffset(byte) => Field { byte, mask: u8::MAX },
        Offset::BitOffsetAndSize(bit, size) => {
            let bits = (1_u32.checked_shl(size).unwrap_or(0)).wrapping_sub(1);
            Field { byte: bit / 8, mask: u8::try_from((bits << (bit % 8)) & 0xff).ok()? }
        }
    })
}

/// Structs that the programs read, and some that they do not.
const STRUCTS: &[&str] = &["sock", "tcp_", "inet", "request", "net", "sk_buff", "task", "file"];

#[test]
fn every_answer_is_the_library_s() {
    let Ok(bytes) = fs::read(FILE) else {
        println!("not tested: this machine's kernel shows no types");
        return;
    };
    let types = types::parse(bytes.clone()).unwrap();
    let btf = Btf::parse(bytes).unwrap();
    let (mut fields, mut functions, mut values) = (0, 0, Vec::new());
    for (id, variant) in types.get() {
        match variant {
            TypeVariant::Struct(item) => {
                let Some(name) = item.name().as_deref() else { continue };
                // If several types share a name, each of them is correct.
                if !STRUCTS.iter().any(|begin| name.starts_with(begin))
                    || btf.structs.get(name.as_bytes()) != Some(id)
                {
                    continue;
                }
                for member in item.member_list().iter().filter_map(btfparse::Member::name) {
                    let wanted = field(&types, *id, &member);
                    assert_eq!(btf.field(name, &member), wanted, "{name}.{member}");
                    fields += 1;
                }
            }
            TypeVariant::Func(item) => {
                let Some(name) = item.name().as_deref() else { continue };
                let Some(TypeVariant::FuncProto(prototype)) = types.get().get(item.prototype_tid())
                else {
                    continue;
                };
                if btf.functions.get(name.as_bytes()) == Some(id) {
                    let wanted = prototype.parameter_list().len();
                    assert_eq!(btf.arguments(name), Some(wanted), "{name}()");
                    functions += 1;
                }
            }
            TypeVariant::Enum(item) => {
                let list = item.named_value_list().iter().map(|value| value.name.clone());
                values.extend(list.take(200 - values.len().min(200)));
            }
            _ => {}
        }
    }
    assert!(fields > 1000 && functions > 10_000, "{fields} fields, {functions} functions");
    let wanted: Vec<&str> = values.iter().map(String::as_str).collect();
    let found = btf.enum_values(&wanted);
    assert!(wanted.iter().all(|name| found.contains_key(*name)) && wanted.len() == 200);
    // A member of a struct, an anonymous union, and an array.
    for path in ["sk_lock.slock", "sk_cookie", "sk_receive_queue.next", "sk_error_queue.qlen"] {
        let structure = btf.structs[&b"sock"[..]];
        assert_eq!(btf.field("sock", path), field(&types, structure, path), "sock.{path}");
    }
    let structure = btf.structs[&b"task_struct"[..]];
    for path in ["comm[3]", "pending.signal", "thread.tls_array[2]"] {
        let wanted = field(&types, structure, path);
        assert!(btf.field("task_struct", path).is_some(), "task_struct.{path}");
        assert_eq!(btf.field("task_struct", path), wanted, "task_struct.{path}");
    }
    assert_eq!(btf.field("sock", "nothing_like_it"), None);
    assert_eq!(btf.field("task_struct", "comm[99]"), None);
    assert_eq!(btf.tracepoint("inet_sock_set_state"), Some(3));
}

/// Broken data must cause an error or a missing answer, never a panic or an endless loop.
#[test]
fn a_broken_file_is_no_end() {
    let Ok(bytes) = fs::read(FILE) else {
        println!("not tested: this machine's kernel shows no types");
        return;
    };
    for length in [0, 1, 2, 10, 24, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(Btf::parse(bytes[..length].to_vec()).is_err(), "cut at {length}");
    }
    // The first thousand types, with flipped bits.
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20 {
        let mut broken = bytes.clone();
        for _ in 0..30 {
            broken[random.usize(24..20_000)] ^= 1 << random.u8(0..8);
        }
        let Ok(btf) = Btf::parse(broken) else { continue };
        let _ = btf.field("sock", "sk_lock.slock");
        let _ = btf.arguments("inet_csk_accept");
        let _ = btf.tracepoint("inet_sock_set_state");
    }
}
