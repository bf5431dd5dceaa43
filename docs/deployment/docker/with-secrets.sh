#!/bin/sh
# Runs a command with each file of /run/secrets as the environment variable of the file's name: TIC_RATES_WEBHOOK,
# or whatever tic-rates.toml names by { env = "NAME" }.
set -eu
for file in "${SECRETS:-/run/secrets}"/*; do
    name=${file##*/}
    case $name in *[!A-Za-z0-9_]* | [0-9]*) continue ;; esac
    export "$name=$(cat "$file")"
done
exec "$@"
