#!/bin/sh
# Makes what deploy/compose.yaml needs and nobody else should know, in deploy/compose/secrets or the folder that is named.
# What is there stays: a new mandate.key would not open what the old one sealed.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
cd "$folder"

word() { openssl rand -hex 24; }
[ -e postgres-password ] || word | tr -d '\n' >postgres-password
[ -e grafana-password ] || word | tr -d '\n' >grafana-password
[ -e provider-secret ] || word >provider-secret
[ -e mandate.toml ] ||
    echo "database_url = \"postgres://mandate:$(cat postgres-password)@postgres/mandate\"" >mandate.toml
[ -e mandate.key ] || openssl rand 32 | base64 -w 0 | tr '+/' '-_' | tr -d '=' >mandate.key

# An authority of this machine alone, for the two names that it has here, and no other.
if ! [ -e tls.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -keyout ca.key -out ca.crt \
        -subj '/CN=Mandate on this machine' -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -addext 'nameConstraints=critical,permitted;DNS:localhost' 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout tls.key -out tls.csr -subj '/CN=localhost' \
        2>/dev/null
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'extendedKeyUsage=serverAuth' \
        'subjectAltName=DNS:tickets.localhost,DNS:login.localhost' >tls.ext
    openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -days 365 -extfile tls.ext -out tls.crt 2>/dev/null
    # Whoever has it can be any server to those who trust ca.crt.
    rm ca.key tls.csr tls.ext
fi
# Containers read them as users of their own. The folder keeps others out.
chmod 644 ./*
