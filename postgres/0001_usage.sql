-- The usage warehouse: every model call once, for ever, with its scores and the signs of attacks in it.
-- Applied in one transaction, by an owner of the schema `genai` in which all of it lies. What each column means is in
-- the database itself (\d+ calls), put there from the catalogue of signals; docs/warehouse.md has the same as a page.

-- --- Calls -----------------------------------------------------------------------------------------------------------

CREATE TABLE calls (
    id uuid NOT NULL,
    ended_at timestamptz NOT NULL,
    started_at timestamptz,
    trace_id text COLLATE "C",
    span_id text COLLATE "C",
    service text COLLATE "C",
    environment text COLLATE "C",
    service_version text COLLATE "C",
    -- Who the call is for.
    feature text COLLATE "C",
    team text COLLATE "C",
    tenant text COLLATE "C",
    endpoint text COLLATE "C",
    user_hash text COLLATE "C",
    user_tier text COLLATE "C",
    session_id text COLLATE "C",
    conversation_id text COLLATE "C",
    request_id text COLLATE "C",
    prompt_name text COLLATE "C",
    prompt_version text COLLATE "C",
    experiment text COLLATE "C",
    variant text COLLATE "C",
    -- What was asked and answered.
    operation text COLLATE "C",
    provider text COLLATE "C",
    request_model text COLLATE "C",
    response_model text COLLATE "C",
    response_id text COLLATE "C",
    provider_request_id text COLLATE "C",
    batch_id text COLLATE "C",
    server_address text COLLATE "C",
    service_tier text COLLATE "C",
    temperature double precision,
    top_p double precision,
    max_tokens bigint,
    streamed boolean,
    background boolean,
    -- How it went.
    outcome text COLLATE "C" NOT NULL,
    error_type text COLLATE "C",
    error_message text COLLATE "C",
    finish_reasons text[] COLLATE "C",
    refused boolean,
    stream_end text COLLATE "C",
    retries bigint,
    -- Seconds.
    duration double precision,
    time_to_first_token double precision,
    time_per_output_token double precision,
    output_tokens_per_second double precision,
    seconds_preparing double precision,
    seconds_retrying double precision,
    seconds_network double precision,
    seconds_provider double precision,
    seconds_waiting double precision,
    seconds_reading double precision,
    -- Input includes cached and cache-write tokens, output includes reasoning tokens: parts are never added to the whole.
    input_tokens bigint,
    output_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    audio_input_tokens bigint,
    audio_output_tokens bigint,
    image_input_tokens bigint,
    image_output_tokens bigint,
    text_cached_tokens bigint,
    audio_cached_tokens bigint,
    image_cached_tokens bigint,
    characters bigint,
    audio_seconds double precision,
    images bigint,
    web_searches bigint,
    file_searches bigint,
    -- Money: exact, and null where the price is not known.
    cost numeric CHECK (cost >= 0),
    currency text COLLATE "C",
    cost_source text COLLATE "C",
    price_age_days bigint,
    cache_saved numeric,
    unpriced_reason text COLLATE "C",
    estimated_input_tokens bigint,
    estimated_output_tokens bigint,
    estimated_cost numeric CHECK (estimated_cost >= 0),
    metadata jsonb,
    -- The time first: calls arrive in its order, so that the index grows at one end. A record that is sent twice has the
    -- same time and the same id, and is stored once.
    PRIMARY KEY (ended_at, id)
) PARTITION BY RANGE (ended_at);

-- Each call has others of these: hash indexes take half of the space that others would, and ids are looked up whole.
CREATE INDEX calls_trace ON calls USING hash (trace_id);
CREATE INDEX calls_response ON calls USING hash (response_id);
-- Many calls have the same of these: equal values share an entry, so long as no other column stands beside them.
CREATE INDEX calls_user ON calls (user_hash) WHERE user_hash IS NOT NULL;
CREATE INDEX calls_conversation ON calls (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX calls_session ON calls (session_id) WHERE session_id IS NOT NULL;
-- The slowest, the dearest.
CREATE INDEX calls_slowest ON calls (duration);
CREATE INDEX calls_dearest ON calls (cost);
CREATE INDEX calls_first_token ON calls (time_to_first_token) WHERE time_to_first_token IS NOT NULL;
-- For the few that tables show, and that must not be looked for among all: those that failed, were declined, broke off.
CREATE INDEX calls_failed ON calls (ended_at) WHERE outcome <> 'success';
CREATE INDEX calls_refused ON calls (ended_at) WHERE refused;
CREATE INDEX calls_broken ON calls (ended_at) WHERE stream_end <> 'complete';

-- --- Scores, and signs of attacks ------------------------------------------------------------------------------------

-- Evaluations and feedback. A score finds its call by the response id, whichever comes first; see the view scored_calls.
CREATE TABLE scores (
    id uuid NOT NULL PRIMARY KEY,
    scored_at timestamptz NOT NULL,
    trace_id text COLLATE "C",
    span_id text COLLATE "C",
    service text COLLATE "C",
    environment text COLLATE "C",
    service_version text COLLATE "C",
    feature text COLLATE "C",
    team text COLLATE "C",
    tenant text COLLATE "C",
    endpoint text COLLATE "C",
    user_hash text COLLATE "C",
    user_tier text COLLATE "C",
    session_id text COLLATE "C",
    conversation_id text COLLATE "C",
    request_id text COLLATE "C",
    prompt_name text COLLATE "C",
    prompt_version text COLLATE "C",
    experiment text COLLATE "C",
    variant text COLLATE "C",
    response_id text COLLATE "C",
    request_model text COLLATE "C",
    name text COLLATE "C" NOT NULL,
    score double precision,
    label text COLLATE "C",
    explanation text,
    category text,
    metadata jsonb
);
CREATE INDEX scores_time ON scores (scored_at);
CREATE INDEX scores_response ON scores USING hash (response_id);

CREATE TABLE findings (
    id uuid NOT NULL PRIMARY KEY,
    found_at timestamptz NOT NULL,
    trace_id text COLLATE "C",
    span_id text COLLATE "C",
    service text COLLATE "C",
    environment text COLLATE "C",
    service_version text COLLATE "C",
    feature text COLLATE "C",
    team text COLLATE "C",
    tenant text COLLATE "C",
    endpoint text COLLATE "C",
    user_hash text COLLATE "C",
    user_tier text COLLATE "C",
    session_id text COLLATE "C",
    conversation_id text COLLATE "C",
    request_id text COLLATE "C",
    prompt_name text COLLATE "C",
    prompt_version text COLLATE "C",
    experiment text COLLATE "C",
    variant text COLLATE "C",
    response_id text COLLATE "C",
    request_model text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    detail text COLLATE "C",
    source text COLLATE "C",
    matches bigint,
    metadata jsonb
);
CREATE INDEX findings_time ON findings (found_at);

-- Records that could not be stored, whole, with the reason. Nothing waits for them.
CREATE TABLE refused_records (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    refused_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    record jsonb NOT NULL
);
CREATE INDEX refused_records_time ON refused_records (refused_at);

-- --- Sums ------------------------------------------------------------------------------------------------------------

-- Exact sums of calls, kept in the transaction that stores the calls, so that late ones are in them, too. Hours, days,
-- weeks and months are of the call's end, in UTC. What calls are grouped by is kept once, as their kind; `key` is a digest
-- of it: an index over so many texts would exceed what PostgreSQL allows for an entry, and sums are small and fast to add
-- up. Whoever asks finds both together in the views calls_by_hour, calls_by_day, calls_by_user_day and calls_by_user_month.

CREATE TABLE kinds (
    key uuid NOT NULL PRIMARY KEY,
    service text COLLATE "C",
    environment text COLLATE "C",
    feature text COLLATE "C",
    team text COLLATE "C",
    tenant text COLLATE "C",
    endpoint text COLLATE "C",
    user_tier text COLLATE "C",
    prompt_name text COLLATE "C",
    prompt_version text COLLATE "C",
    experiment text COLLATE "C",
    variant text COLLATE "C",
    operation text COLLATE "C",
    provider text COLLATE "C",
    request_model text COLLATE "C",
    response_model text COLLATE "C",
    service_tier text COLLATE "C",
    outcome text COLLATE "C",
    error_type text COLLATE "C",
    finish_reasons text[] COLLATE "C",
    refused boolean,
    stream_end text COLLATE "C",
    retried boolean,
    batch boolean,
    unpriced_reason text COLLATE "C",
    -- The price of a call, rounded down by cost_from(): what distributions are made of.
    cost_from numeric
);
CREATE TABLE sums_by_hour (
    hour timestamptz NOT NULL,
    key uuid NOT NULL,
    calls bigint NOT NULL,
    priced bigint NOT NULL,
    cost numeric,
    cache_saved numeric,
    estimated_cost numeric,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    retries bigint NOT NULL,
    duration double precision NOT NULL,
    PRIMARY KEY (hour, key)
);
CREATE TABLE sums_by_day (LIKE sums_by_hour INCLUDING ALL);
ALTER TABLE sums_by_day RENAME COLUMN hour TO day;

CREATE TABLE user_kinds (
    key uuid NOT NULL PRIMARY KEY,
    service text COLLATE "C",
    environment text COLLATE "C",
    feature text COLLATE "C",
    team text COLLATE "C",
    tenant text COLLATE "C",
    user_tier text COLLATE "C",
    provider text COLLATE "C",
    request_model text COLLATE "C"
);
-- Users by a digest of their hash, which is a quarter as long: most of the time that sums of all users take is theirs.
CREATE TABLE users (
    user_key uuid NOT NULL PRIMARY KEY,
    user_hash text COLLATE "C" NOT NULL
);
-- Users are many: of them only that is added up which is asked for by user.
CREATE TABLE sums_by_user_day (
    day timestamptz NOT NULL,
    key uuid NOT NULL,
    user_key uuid NOT NULL,
    calls bigint NOT NULL,
    -- Without an answer: outcome error, timeout or rate_limited.
    failed bigint NOT NULL,
    cost numeric,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    PRIMARY KEY (day, key, user_key)
);
CREATE TABLE sums_by_user_week (LIKE sums_by_user_day INCLUDING ALL);
ALTER TABLE sums_by_user_week RENAME COLUMN day TO week;
CREATE TABLE sums_by_user_month (LIKE sums_by_user_day INCLUDING ALL);
ALTER TABLE sums_by_user_month RENAME COLUMN day TO month;

-- --- Partitions ------------------------------------------------------------------------------------------------------

-- One partition a month (of UTC), made ahead. Whoever stores calls may call this, without being the owner of the table.
-- A table that is made alone and attached leaves `calls` open to readers and to writers, where CREATE ... PARTITION OF
-- would wait for each open transaction that has read `calls`, and all others would wait behind it. Of two callers one
-- waits: the lock is the one that ATTACH takes anyway, and no reader can take it.
CREATE FUNCTION make_partitions(first timestamptz, last timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = genai, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    month timestamptz := date_trunc('month', first);
    partition text;
BEGIN
    WHILE month <= last LOOP
        partition := 'calls_' || to_char(month, 'YYYY_MM');
        IF to_regclass('genai.' || partition) IS NULL THEN
            LOCK TABLE calls IN SHARE UPDATE EXCLUSIVE MODE;
            IF to_regclass('genai.' || partition) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE calls INCLUDING ALL)', partition);
                EXECUTE format(
                    'ALTER TABLE calls ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    partition, month, month + interval '1 month'
                );
            END IF;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END $$;

-- The end of the last partition: later calls have no place yet.
CREATE FUNCTION partitions_until() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = genai, pg_temp AS $$
    SELECT max((to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC')
    FROM pg_inherits WHERE inhparent = 'calls'::regclass
$$;

-- --- What people ask -------------------------------------------------------------------------------------------------

-- The price of a call in steps of 1, 2 and 5, from a millionth of a dollar to a hundred: the step at or below it.
CREATE FUNCTION cost_from(cost numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (ARRAY[0, 0.000001, 0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005,
                  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])[1 + width_bucket(cost,
            ARRAY[0.000001, 0.000002, 0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005,
                  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])]
$$;

CREATE FUNCTION user_key(user_hash text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(user_hash)::uuid $$;

-- Weeks that make up months, as days make up both: they begin on the 1st, 8th, 15th, 22nd and 29th.
CREATE FUNCTION week_of(moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('month', moment, 'UTC')
           + (extract(day FROM moment AT TIME ZONE 'UTC')::int - 1) / 7 * interval '168 hours'
$$;

-- The sums with what they are of. A left join, as it costs nothing where only sums are asked for.
CREATE VIEW calls_by_hour AS SELECT * FROM sums_by_hour LEFT JOIN kinds USING (key);
CREATE VIEW calls_by_day AS SELECT * FROM sums_by_day LEFT JOIN kinds USING (key);
CREATE VIEW calls_by_user_day AS
SELECT * FROM sums_by_user_day LEFT JOIN user_kinds USING (key) LEFT JOIN users USING (user_key);
CREATE VIEW calls_by_user_month AS
SELECT * FROM sums_by_user_month LEFT JOIN user_kinds USING (key) LEFT JOIN users USING (user_key);

-- Single calls in the columns and the types of the sums, so that both can be added up together, and quickly.
CREATE VIEW calls_as_sums AS
SELECT ended_at, NULL::uuid AS key, service, environment, feature, team, tenant, endpoint, user_tier, prompt_name,
       prompt_version, experiment, variant, operation, provider, request_model, response_model, service_tier, outcome,
       error_type, finish_reasons, refused, stream_end, retries > 0 AS retried, batch_id IS NOT NULL AS batch,
       unpriced_reason, cost_from(cost) AS cost_from, user_hash, user_key(user_hash), 1::bigint AS calls,
       (outcome IN ('error', 'timeout', 'rate_limited'))::int::bigint AS failed,
       (cost IS NOT NULL)::int::bigint AS priced, cost,
       cache_saved, estimated_cost, coalesce(input_tokens, 0) AS input_tokens,
       coalesce(output_tokens, 0) AS output_tokens, coalesce(cached_tokens, 0) AS cached_tokens,
       coalesce(cache_write_tokens, 0) AS cache_write_tokens, coalesce(reasoning_tokens, 0) AS reasoning_tokens,
       coalesce(retries, 0) AS retries, coalesce(duration, 0) AS duration
FROM calls;

-- The end of the first period that is whole in a range from `moment` on.
CREATE FUNCTION first_whole(period text, moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- Added in UTC: a day or a month that is added to a timestamptz is one of the session's time zone.
    SELECT (date_trunc(period, moment AT TIME ZONE 'UTC' - interval '1 microsecond') + ('1 ' || period)::interval)
           AT TIME ZONE 'UTC'
$$;

CREATE FUNCTION first_whole_week(moment timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT least(week_of(moment - interval '1 microsecond') + interval '168 hours', first_whole('month', moment))
$$;

-- Sums of all time, by kind.
CREATE VIEW usage_ever AS
SELECT * FROM kinds JOIN (
    SELECT key, sum(calls)::bigint AS calls, sum(priced)::bigint AS priced, sum(cost) AS cost, sum(cache_saved) AS cache_saved,
           sum(estimated_cost) AS estimated_cost, sum(input_tokens)::bigint AS input_tokens,
           sum(output_tokens)::bigint AS output_tokens, sum(cached_tokens)::bigint AS cached_tokens,
           sum(cache_write_tokens)::bigint AS cache_write_tokens, sum(reasoning_tokens)::bigint AS reasoning_tokens,
           sum(retries)::bigint AS retries, sum(duration) AS duration
    FROM sums_by_day GROUP BY key
) AS whole USING (key);

CREATE VIEW users_ever AS
SELECT key, user_key, user_hash, service, environment, feature, team, tenant, user_tier, provider, request_model, calls,
       failed, cost, input_tokens, output_tokens
FROM calls_by_user_month;

-- Sums of any time range from `first` to before `last`, exact to the microsecond: whole days and hours (of users, months,
-- weeks and days) from the sums, what is left at both ends from the calls. To be grouped and added up by whoever asks; of
-- many users it is faster by user_key than by user_hash.
CREATE FUNCTION usage_between(first timestamptz, last timestamptz) RETURNS SETOF usage_ever
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM kinds JOIN (
        SELECT key, sum(calls)::bigint AS calls, sum(priced)::bigint, sum(cost), sum(cache_saved), sum(estimated_cost),
               sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cache_write_tokens)::bigint,
               sum(reasoning_tokens)::bigint, sum(retries)::bigint, sum(duration)
        FROM sums_by_day
        WHERE day >= first AND day < date_trunc('day', last, 'UTC')
        GROUP BY key
        UNION ALL
        SELECT key, sum(calls)::bigint AS calls, sum(priced)::bigint, sum(cost), sum(cache_saved), sum(estimated_cost),
               sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cache_write_tokens)::bigint,
               sum(reasoning_tokens)::bigint, sum(retries)::bigint, sum(duration)
        FROM sums_by_hour
        WHERE hour >= first AND hour < least(first_whole('day', first), date_trunc('hour', last, 'UTC'))
        GROUP BY key
        UNION ALL
        SELECT key, sum(calls)::bigint AS calls, sum(priced)::bigint, sum(cost), sum(cache_saved), sum(estimated_cost),
               sum(input_tokens)::bigint, sum(output_tokens)::bigint, sum(cached_tokens)::bigint, sum(cache_write_tokens)::bigint,
               sum(reasoning_tokens)::bigint, sum(retries)::bigint, sum(duration)
        FROM sums_by_hour
        WHERE hour >= greatest(first_whole('day', first), date_trunc('day', last, 'UTC'))
          AND hour < date_trunc('hour', last, 'UTC')
        GROUP BY key
    ) AS whole USING (key)
    UNION ALL
    SELECT key, service, environment, feature, team, tenant, endpoint, user_tier, prompt_name, prompt_version, experiment,
           variant, operation, provider, request_model, response_model, service_tier, outcome, error_type,
           finish_reasons, refused, stream_end, retried, batch, unpriced_reason, cost_from, calls, priced, cost,
           cache_saved, estimated_cost, input_tokens, output_tokens, cached_tokens, cache_write_tokens,
           reasoning_tokens, retries, duration
    FROM calls_as_sums
    WHERE ended_at >= first AND ended_at < least(last, first_whole('hour', first))
       OR ended_at >= greatest(first_whole('hour', first), date_trunc('hour', last, 'UTC')) AND ended_at < last
$$;

CREATE FUNCTION users_between(first timestamptz, last timestamptz) RETURNS SETOF users_ever
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- Not added up by kind beforehand: there are few sums of each, and so several processes share all of the work.
    SELECT key, user_key, user_hash, service, environment, feature, team, tenant, user_tier, provider, request_model,
           calls, failed, cost, input_tokens, output_tokens
    FROM (
        SELECT * FROM sums_by_user_month
        WHERE month >= first AND month < date_trunc('month', last, 'UTC')
        UNION ALL
        SELECT * FROM sums_by_user_week
        WHERE week >= first AND week < least(first_whole('month', first), week_of(last))
        UNION ALL
        SELECT * FROM sums_by_user_week
        WHERE week >= greatest(first_whole('month', first), date_trunc('month', last, 'UTC')) AND week < week_of(last)
        UNION ALL
        SELECT * FROM sums_by_user_day
        WHERE day >= first AND day < least(first_whole_week(first), date_trunc('day', last, 'UTC'))
        UNION ALL
        SELECT * FROM sums_by_user_day
        WHERE day >= greatest(first_whole_week(first), week_of(last)) AND day < date_trunc('day', last, 'UTC')
    ) AS periods LEFT JOIN user_kinds USING (key) LEFT JOIN users USING (user_key)
    UNION ALL
    SELECT key, user_key, user_hash, service, environment, feature, team, tenant, user_tier, provider, request_model,
           calls, failed, cost, input_tokens, output_tokens
    FROM calls_as_sums
    WHERE user_hash IS NOT NULL AND (
          ended_at >= first AND ended_at < least(last, first_whole('day', first))
       OR ended_at >= greatest(first_whole('day', first), date_trunc('day', last, 'UTC')) AND ended_at < last)
$$;

-- The plain columns that finance people expect.
CREATE VIEW llm_usage AS
SELECT ended_at AS timestamp, id::text AS request_id, user_hash AS user_id, team, feature, endpoint,
       coalesce(response_model, request_model) AS model, provider,
       input_tokens AS prompt_tokens, output_tokens AS completion_tokens,
       coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS total_tokens,
       cost AS cost_usd, duration * 1000 AS latency_ms, outcome AS status
FROM calls;

-- Scores with the calls that they are about.
CREATE VIEW scored_calls AS
SELECT scores.scored_at, scores.name, scores.score, scores.label, scores.explanation, scores.category, calls.*
FROM scores JOIN calls USING (response_id);
