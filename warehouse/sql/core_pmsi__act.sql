-- Acts (CCAM), one row a zone of act, of one head, with the unit they belong to.
-- grain: head
with layout as (
    select
        format_version,
        max(zone_width) as width,
        max(start) filter (where field = 'act_delay_days') as delay_at,
        max(start) filter (where field = 'act_ccam') as code_at,
        max(start) filter (where field = 'act_phase') as phase_at,
        max(start) filter (where field = 'act_activity') as activity_at,
        max(start) filter (where field = 'act_quantity') as quantity_at
    from ref_pmsi__zone_field
    where zone = 'act'
    group by format_version
),

item as (
    select
        u.finess,
        u.line_number,
        u.exit_year,
        u.exit_month,
        u.rum_number,
        s.act_zone,
        l.*,
        u.act_before + unnest(generate_series(1, u.act_count)) as act_rank
    from core_pmsi__unit_stay as u
    inner join segment_pmsi_rsa as s using (line_number)
    inner join layout as l using (format_version)
    where u.act_count > 0
),

cut as (
    select *, substr(act_zone, (act_rank - 1) * width + 1, width) as act
    from item
)

select
    finess,
    line_number,
    exit_year,
    exit_month,
    cast(act_rank as integer) as act_rank,
    rum_number,
    trim(substr(act, code_at, 7)) as ccam_code,
    nullif(trim(substr(act, phase_at, 1)), '') as phase,
    nullif(trim(substr(act, activity_at, 1)), '') as activity,
    try_cast(trim(substr(act, delay_at, 3)) as integer) as delay_days,
    try_cast(trim(substr(act, quantity_at, 2)) as integer) as quantity
from cut
order by line_number, act_rank
