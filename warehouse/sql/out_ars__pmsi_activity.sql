-- Monthly MCO activity per establishment (e-PMSI FINESS), year and month of exit. Definition ACTIVITY of indicators.yaml.
with counted as (
    select
        finess,
        exit_year,
        exit_month,
        count(*) filter (where is_stay) as stays,
        sum(nights) as nights,
        sum(days) as days,
        sum(sessions) as sessions
    from int_pmsi__stay_measure
    where is_stay or is_session
    group by finess, exit_year, exit_month
)

select
    c.finess,
    t.finess_ej,
    c.exit_year,
    c.exit_month,
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
order by c.finess, c.exit_year, c.exit_month
