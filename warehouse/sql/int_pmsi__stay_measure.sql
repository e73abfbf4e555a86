-- What each stay counts for, of one head: the rows behind every published figure. Populations and formulas: indicators.yaml
-- (ACTIVITY, OS_13), whose status they keep. A stay that left in another year than the file's counts for nothing here.
-- grain: head
with stay as (
    select
        s.*,
        coalesce(s.stay_type, '') <> 'B' as own,
        coalesce(s.stay_type, '') <> 'B' and s.ghm_cmd not in ('90', '28') as is_stay,
        coalesce(s.stay_type, '') <> 'B' and s.ghm_cmd = '28' as is_session
    from core_pmsi__stay as s
    inner join ref_pmsi__head as h on s.exit_year = h.year
)

select
    finess,
    exit_year,
    exit_month,
    line_number,
    ghm,
    format_version,
    coalesce(is_stay, false) as is_stay,
    coalesce(is_session, false) as is_session,
    case when is_stay then los_nights else 0 end as nights,
    case when is_stay then los_nights + 1 else 0 end as days,
    case when is_session then greatest(coalesce(session_count, 0), 1) else 0 end as sessions,
    coalesce(own and ghm_type = 'C' and ghm_cmd <> '90', false) as is_surgical,
    coalesce(own and ghm_type = 'C' and ghm_cmd <> '90' and raac = '1', false) as is_raac,
    coalesce(own and ghm_type = 'C' and ghm_cmd <> '90' and raac is not null, false) as is_raac_stated,
    coalesce(los_nights > 0, false) as is_overnight
from stay
order by line_number
