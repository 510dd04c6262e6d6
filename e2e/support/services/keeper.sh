# Keeps one server in a new folder: starts and halts it as the lines on standard input say, and answers each with
# one line. The input ends when the test process ends, in whatever way, SIGKILL included. Then the server is ended
# and the folder removed.
#
#   $1  how the folder's name begins
#   $2  the signal that ends the server at once

# Neither a signal meant for the test process ends its keeper, nor an answer that nobody reads any more.
trap '' HUP INT TERM PIPE

folder=$(mktemp -d "${TMPDIR:-/tmp}/$1-XXXXXX") && cd "$folder" || exit
echo "$folder"
server=

# A signal to the server, and to its children afterwards, when a halted server cannot have new ones. Those of
# PostgreSQL are sessions of their own, which no signal to a group reaches.
signal() {
    kill -s "$1" "$server"
    for status in /proc/[0-9]*/stat; do
        read -r id name state parent rest <"$status" && [ "$parent" = "$server" ] && kill -s "$1" "$id"
    done
} 2>/dev/null

halt() {
    [ "$server" ] || return 0
    signal CONT
    kill -s "$1" "$server"
    wait "$server"
    server=
} 2>/dev/null

while read -r word command; do
    answer=
    case $word in
    run)
        $command </dev/null >log 2>&1
        answer=$?
        ;;
    start)
        halt "$2"
        # Here and not in the background: the log of the start before must not be read as that of this one.
        : >log
        $command </dev/null >>log 2>&1 &
        server=$!
        ;;
    halt) halt "$2" ;;
    freeze) signal STOP ;;
    thaw) signal CONT ;;
    esac
    echo "$answer"
done

halt "$2"
cd / && rm -rf "$folder"
