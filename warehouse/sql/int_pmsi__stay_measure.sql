-- What each stay counts for, of one head: the rows behind every published figure. Populations and formulas: indicators.yaml
-- (ACTIVITY, OS_13), whose status they keep. A stay that left in another year than the file's counts for nothing here.
-- grain: head
with stay as (
    select
        s.*,
        coalesce(s.stay_type, '') <> 'B' as own,
        coalesce(s.ghm_cmd, '') as cmd
    from core_pmsi__stay as s
    inner join ref_pmsi__head as h on s.exit_year = h.year
),

placed as (
    select
        *,
        own and cmd not in ('90', '28') as is_stay,
        own and cmd = '28' as is_session,
        own and cmd <> '90' and coalesce(ghm_type, '') = 'C' as is_surgical
    from stay
)

select
    finess,
    exit_year,
    exit_month,
    line_number,
    ghm,
    is_stay,
    is_session,
    case when is_stay then coalesce(los_nights, 0) else 0 end as nights,
    case when is_stay then coalesce(los_nights, 0) + 1 else 0 end as days,
    case when is_session then greatest(coalesce(session_count, 0), 1) else 0 end as sessions,
    is_surgical,
    is_surgical and format_version <> '224' as is_raac_askable,
    is_surgical and coalesce(raac, '') = '1' as is_raac,
    is_surgical and raac is not null as is_raac_stated,
    coalesce(los_nights, 0) > 0 as is_overnight
from placed
order by line_number
