#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, each in a file of its own, and .env, which
# tells Compose the group that may read them. What is there already stays: it can be run
# again after an upgrade.
#
#   deploy/compose/init.sh [--group GID] [--starter PROGRAM]
#
# Compose mounts a secret's file as it is: the host's owner, group and mode count in the
# container. The services run as different users, so a group shares the files (mode 0440),
# and each service that needs one joins it. As root that is group 65532, which nobody on a
# usual host is in. Another user gives the files his own group, if nobody else is in it.
# With rootless Docker your group is group 0 of the containers: --group 0 has the files keep
# your group and the services join that.
set -eu
umask 077

fail() {
	echo "init.sh: $*" >&2
	exit 1
}

cd "$(dirname "$0")/../.."
group='' starter=''
while [ $# -gt 0 ]; do
	case $1 in
	--group | --starter)
		[ $# -ge 2 ] || fail "$1 wants a value"
		if [ "$1" = --group ]; then group=$2; else starter=$2; fi
		shift 2
		;;
	*) fail "unknown argument $1; the comment at the top of this file shows the arguments" ;;
	esac
done
case $group in *[!0-9]*) fail "--group $group: want a number, as 'getent group NAME' shows it" ;; esac

uid=$(id -u)
if [ -z "$group" ]; then
	if [ "$uid" = 0 ]; then
		group=65532
	elif [ "$(id -gn)" = "$(id -un)" ]; then
		group=$(id -g)
	else
		fail "your group $(id -gn) may have other members, who could read the secrets: name a group of yours with --group GID, or run this as root"
	fi
fi

folder=deploy/compose/secrets
mkdir -p "$folder"
chmod 700 "$folder"

# share FILE lets the group read it, and nobody write it.
share() {
	if [ "$group" != 0 ]; then chgrp "$group" "$1"; fi
	chmod 0440 "$1"
}
# keep NAME puts standard input into a secret's file.
keep() {
	temp=$folder/.$1.new
	cat >"$temp"
	[ -s "$temp" ] || fail "$1 could not be made"
	share "$temp"
	mv "$temp" "$folder/$1"
	echo "made  $folder/$1"
}
# missing NAME says whether there is none yet; one that somebody has put there gets its mode.
missing() {
	if [ -s "$folder/$1" ]; then
		share "$folder/$1"
		echo "there $folder/$1"
		return 1
	fi
}
password() {
	head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

touch .env
chmod 644 .env # no secret is in it
sed -i.old '/^IDENTITYMESH_SECRETS_GID=/d' .env && rm -f .env.old
echo "IDENTITYMESH_SECRETS_GID=$group" >>.env

for name in postgres_password grafana_password; do
	if missing "$name"; then password | keep "$name"; fi
done
for line in mesh_deploy:mesh mesh_worker:mesh temporal:'*'; do
	role=${line%%:*}
	if missing "${role}_pgpass"; then
		printf 'postgres:5432:%s:%s:%s\n' "${line#*:}" "$role" "$(password)" | keep "${role}_pgpass"
	fi
done

# The key that seals the secrets of connectors is made by the product itself.
if missing secrets_key; then
	if [ -z "$starter" ]; then
		version=${IDENTITYMESH_VERSION:-$(sed -n 's/^IDENTITYMESH_VERSION=//p' .env)}
		docker compose build worker >&2
		docker run --rm --network none --read-only --cap-drop ALL "identitymesh/okta-connector:${version:-local}" starter secret keygen - >"$folder/.key"
	else
		"$starter" secret keygen - >"$folder/.key"
	fi
	keep secrets_key <"$folder/.key"
	rm -f "$folder/.key"
fi
echo "done: keep a copy of $folder/secrets_key apart from the backups of the database, which it opens"
