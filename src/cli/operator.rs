//! Who runs a command, as the operating system knows it: the kernel says which user it is, and no variable of the
//! environment, which anybody can set.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The user and the host, for the audit log: `the operating system user root (uid 0) on host build-7`.
pub(super) fn who() -> String {
    // Linux shows a process under the user that it acts as. Elsewhere nothing is claimed.
    let uid = fs::metadata("/proc/self").ok().map(|process| process.uid());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    words(uid, &users, host.trim())
}

fn words(uid: Option<u32>, users: &str, host: &str) -> String {
    let user = match uid {
        None => "an operating system user that is not known".to_owned(),
        Some(uid) => {
            let named = users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let (name, number) = (fields.next()?, fields.nth(1)?);
                (number.parse() == Ok(uid)).then_some(name)
            });
            let name = named.map(|name| format!("{name} ")).unwrap_or_default();
            format!("the operating system user {name}(uid {uid})")
        }
    };
    let host = if host.is_empty() { "a host without a name".to_owned() } else { format!("host {host}") };
    format!("{user} on {host}").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_by_number_and_by_name_where_there_is_one() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\nbroken\ndeploy:x:1000:1000::/:/bin/sh\n";
        for (uid, host, said) in [
            (Some(1000), "build-7", "the operating system user deploy (uid 1000) on host build-7"),
            (Some(4711), "build-7", "the operating system user (uid 4711) on host build-7"),
            (None, "", "an operating system user that is not known on a host without a name"),
        ] {
            assert_eq!(words(uid, users, host), said);
        }
    }
}
