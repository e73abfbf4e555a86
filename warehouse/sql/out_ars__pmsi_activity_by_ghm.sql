-- Yearly MCO activity per establishment (e-PMSI FINESS) and GHM. Definition ACTIVITY (by_ghm) of indicators.yaml. A GHM is
-- one of stays or one of sessions (CMD 28): what it cannot have is empty, not 0.
with counted as (
    select
        finess,
        exit_year,
        ghm,
        nullif(count(*) filter (where is_stay), 0) as stays,
        sum(nights) filter (where is_stay) as nights,
        sum(days) filter (where is_stay) as days,
        sum(sessions) filter (where is_session) as sessions
    from int_pmsi__stay_measure
    where is_stay or is_session
    group by finess, exit_year, ghm
)

select
    c.finess,
    t.finess_ej,
    c.exit_year,
    c.ghm,
    'ACTIVITY' as definition_id,
    cast(c.stays as integer) as stays,
    cast(c.nights as integer) as nights,
    cast(c.days as integer) as days,
    cast(c.sessions as integer) as sessions,
    t.transmission_period,
    t.transmission_id,
    t.provisional
from counted as c
inner join int_pmsi__transmission as t using (finess, exit_year)
order by c.finess, c.exit_year, c.ghm
