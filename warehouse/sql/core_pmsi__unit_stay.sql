-- Unit stays (RUM), one row a unit crossed, of one head. The units of a line are cut here from its zone, by the layout of its
-- format; das_before and act_before count the items of earlier units, since those items carry no unit number.
-- grain: head
with layout as (
    select
        format_version,
        max(zone_width) as width,
        max(start) filter (where field = 'rum_number') as number_at,
        max(start) filter (where field = 'rum_finess_geo') as finess_at,
        max(start) filter (where field = 'rum_dp') as dp_at,
        max(start) filter (where field = 'rum_dr') as dr_at,
        max(start) filter (where field = 'rum_das_count') as das_at,
        max(start) filter (where field = 'rum_act_count') as act_at,
        max(start) filter (where field = 'rum_partial_los') as los_at,
        max(start) filter (where field = 'rum_auth_type_1') as auth_at
    from ref_pmsi__zone_field
    where zone = 'rum'
    group by format_version
),

unit as (
    select
        s.finess,
        s.line_number,
        s.exit_year,
        s.exit_month,
        l.*,
        unnest(generate_series(1, length(s.rum_zone) // l.width)) as rum_rank,
        s.rum_zone
    from segment_pmsi_rsa as s
    inner join layout as l using (format_version)
),

cut as (
    select
        finess,
        line_number,
        exit_year,
        exit_month,
        rum_rank,
        substr(rum_zone, (rum_rank - 1) * width + 1, width) as item,
        columns('.*_at')
    from unit
),

typed as (
    select
        finess,
        line_number,
        exit_year,
        exit_month,
        rum_rank,
        trim(substr(item, number_at, 2)) as rum_number,
        trim(substr(item, finess_at, 9)) as finess_geo,
        nullif(trim(substr(item, dp_at, 6)), '') as main_diagnosis,
        nullif(trim(substr(item, dr_at, 6)), '') as related_diagnosis,
        coalesce(try_cast(trim(substr(item, das_at, 2)) as integer), 0) as das_count,
        coalesce(try_cast(trim(substr(item, act_at, 3)) as integer), 0) as act_count,
        try_cast(trim(substr(item, los_at, 4)) as integer) as partial_los,
        nullif(trim(substr(item, auth_at, 4)), '') as authorisation_type
    from cut
)

select
    *,
    cast(sum(das_count) over earlier - das_count as integer) as das_before,
    cast(sum(act_count) over earlier - act_count as integer) as act_before
from typed
window earlier as (partition by line_number order by rum_rank rows between unbounded preceding and current row)
order by line_number, rum_rank
