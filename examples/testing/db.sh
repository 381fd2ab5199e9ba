# PostgreSQL with an empty table, made at the first start.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
if [ ! -f /data/pg/PG_VERSION ]; then
    "$bin/initdb" -D /data/pg -A trust > /tmp/initdb.log
    echo "host all all all trust" >> /data/pg/pg_hba.conf
    "$bin/pg_ctl" -D /data/pg -o "-k /tmp -c listen_addresses=''" -w start > /dev/null
    psql -q -h /tmp postgres -c 'CREATE TABLE visits (name text)'
    "$bin/pg_ctl" -D /data/pg -w stop > /dev/null
fi
exec "$bin/postgres" -D /data/pg -k /tmp -c "listen_addresses=*"
