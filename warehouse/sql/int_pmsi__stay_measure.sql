-- What each stay counts for, of one head: the rows behind every published figure. Populations and formulas: indicators.yaml,
-- whose status they keep. A stay that left in another year than the file's counts for nothing here. Blank is never a code: a
-- stay of blank type is not a PIE, one of blank CMD is a stay, no nights are 0 nights. A condition on the format stands where
-- a field is asked that older formats lack: unscheduled before 227, ed_passage before 228 (provenance alone tells), raac
-- in 224; or where indicators.yaml begins later (HPR_3_2: 226).
-- grain: head
with hpr_site as (
    -- the labelled sites (HPR) of the establishment, as of 31 December of the year
    select r.finess_geo
    from ref_pmsi__hpr_site as r
    inner join ref_pmsi__head as h on r.finess_epmsi = h.finess
    where r.valid_from <= h.year || '-12-31' and coalesce(r.valid_to, '9999') > h.year || '-12-31'
),

unit as (
    select
        line_number,
        finess_geo,
        row_number() over (
            partition by line_number
            order by try_cast(rum_number as integer) desc nulls last, rum_rank desc
        ) as rank_from_last
    from core_pmsi__unit_stay
),

on_hpr_site as (
    select u.line_number, min(u.rank_from_last) = 1 as is_last_rum
    from unit as u
    inner join hpr_site as s using (finess_geo)
    group by u.line_number
),

stay as (
    select
        s.*,
        coalesce(s.stay_type, '') <> 'B' as own,
        coalesce(s.ghm_cmd, '') as cmd,
        coalesce(s.entry_mode, '') as entered,
        coalesce(s.entry_provenance, '') as came_from,
        coalesce(s.ed_passage, '') as emergency,
        coalesce(s.exit_mode, '') as left_by,
        coalesce(s.age_years, 0) as age
    from core_pmsi__stay as s
    inner join ref_pmsi__head as h on s.exit_year = h.year
),

placed as (
    select
        *,
        own and cmd not in ('90', '28') as is_stay,
        own and cmd = '28' as is_session,
        own and cmd <> '90' and coalesce(ghm_type, '') = 'C' as is_surgical,
        emergency in ('5', 'U', 'V') or came_from in ('5', 'U') as is_ed,
        entered = '8' and emergency = '' and came_from not in ('5', 'U') as is_direct_home
    from stay
),

-- populations of the indicators, whatever the format
populated as (
    select
        *,
        is_stay and cmd not in ('14', '15') and coalesce(session_count, 0) = 0 and age >= 75 as is_elderly,
        is_stay and entered <> 'N' and cmd <> '15' as is_admission,
        is_stay and left_by <> '9' as is_discharge
    from placed
)

select
    p.finess,
    p.exit_year,
    p.exit_month,
    p.line_number,
    coalesce(p.ghm, 'INCONNU') as ghm,
    is_stay,
    is_session,
    case when is_stay then coalesce(los_nights, 0) else 0 end as nights,
    case when is_stay then coalesce(los_nights, 0) + 1 else 0 end as days,
    case when is_session then greatest(coalesce(session_count, 0), 1) else 0 end as sessions,
    format_version < '228' as is_ed_by_provenance,
    -- OS_11
    is_elderly,
    is_elderly and age > 75 as is_over_75,
    is_elderly and format_version >= '227' as is_elderly_askable,
    is_elderly and unscheduled is not null as is_schedule_stated,
    is_elderly and coalesce(unscheduled, '') in ('1', '2') as is_schedule_known,
    is_elderly and coalesce(unscheduled, '') = '1' as is_unscheduled,
    is_elderly and coalesce(unscheduled, '') = '1' and (emergency <> '' or entered <> '8') as is_schedule_conflict,
    is_ed,
    is_direct_home,
    -- OS_13
    is_surgical,
    is_surgical and format_version >= '225' as is_raac_askable,
    is_surgical and coalesce(raac, '') = '1' as is_raac,
    is_surgical and raac is not null as is_raac_stated,
    coalesce(los_nights, 0) > 0 as is_overnight,
    -- HPR_3_2 and HPR_4_3
    is_admission,
    is_admission and format_version >= '226' as is_admission_askable,
    is_admission and format_version >= '226' and entry_mode is not null as is_entry_stated,
    came_from = '7' as is_from_medical_social,
    is_discharge,
    is_discharge and exit_mode is not null as is_exit_stated,
    is_discharge and left_by in ('6', '7') and coalesce(exit_destination, '') = '6' as is_to_had,
    (select count(*) from hpr_site) > 0 as is_hpr_listed,
    o.line_number is not null as is_hpr_any_rum,
    coalesce(o.is_last_rum, false) as is_hpr_last_rum
from populated as p
left join on_hpr_site as o using (line_number)
order by p.line_number
