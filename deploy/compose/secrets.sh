#!/bin/sh
# Makes what deploy/compose.yaml needs and nobody else should know, in deploy/compose/secrets or the folder that is named.
# What is there stays: a new mandate.key would not open what the old one sealed. So nothing is there before it is whole,
# and whatever fails ends it.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
cd "$folder"
new=$(mktemp -d ./new.XXXXXX)
trap 'rm -rf "$new"' EXIT

# Makes a file that is not there yet from a command's output, unless it fails or says nothing.
make() {
    file=$1
    shift
    ! [ -s "$file" ] || return 0
    "$@" >"$new/$file"
    [ -s "$new/$file" ] || { echo "secrets.sh: nothing was made for $file" >&2; exit 1; }
    mv "$new/$file" "$file"
}

# Each tool by itself: in a pipe, nobody would hear of the first that fails.
word() {
    openssl rand -hex 24 >"$new/word"
    text=$(cat "$new/word")
    [ ${#text} -eq 48 ] || { echo "secrets.sh: openssl rand has failed" >&2; exit 1; }
    printf %s "$text"
}
line() {
    text=$(word)
    echo "$text"
}
config() { echo "database_url = \"postgres://mandate:$(cat postgres-password)@postgres/mandate\""; }
# 32 bytes as base64url.
key() {
    openssl rand -out "$new/bytes" 32
    openssl base64 -A -in "$new/bytes" >"$new/base64"
    text=$(tr '+/' '-_' <"$new/base64")
    text=${text%%=*}
    [ ${#text} -eq 43 ] || { echo "secrets.sh: the key is not whole" >&2; exit 1; }
    printf %s "$text"
}

make postgres-password word
make grafana-password word
make provider-secret line
make mandate.toml config
make mandate.key key

# An authority of this machine alone, for the two names that it has here, and no other.
if ! [ -s tls.crt ]; then
    # Browsers refuse two certificates of one number.
    serial=$(openssl rand -hex 8)
    serial=0x1${serial%?}
    openssl ecparam -name prime256v1 -genkey -noout -out "$new/ca.key"
    openssl ecparam -name prime256v1 -genkey -noout -out "$new/tls.key"
    cat >"$new/ca.conf" <<'END'
[req]
distinguished_name = name
prompt = no
x509_extensions = authority
[name]
CN = Mandate on this machine
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
nameConstraints = critical,permitted;DNS:localhost
[server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:tickets.localhost,DNS:login.localhost
END
    openssl req -x509 -new -config "$new/ca.conf" -key "$new/ca.key" -sha256 -days 3650 -out "$new/ca.crt"
    openssl req -new -config "$new/ca.conf" -key "$new/tls.key" -subj '/CN=localhost' -out "$new/tls.csr"
    openssl x509 -req -in "$new/tls.csr" -CA "$new/ca.crt" -CAkey "$new/ca.key" -set_serial "$serial" -sha256 \
        -days 365 -extfile "$new/ca.conf" -extensions server -out "$new/tls.crt" 2>"$new/said" ||
        { cat "$new/said" >&2; exit 1; }
    # Whoever has ca.key can be any server to those who trust ca.crt: it is thrown away. The last one says that all are
    # there.
    mv "$new/ca.crt" ca.crt
    mv "$new/tls.key" tls.key
    mv "$new/tls.crt" tls.crt
fi
# Containers read them as users of their own. The folder keeps others out.
chmod 644 ./*.crt ./*.key ./*-password ./*-secret ./mandate.toml
