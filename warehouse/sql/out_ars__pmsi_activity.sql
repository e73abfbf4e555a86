-- Monthly MCO activity per establishment (e-PMSI FINESS), year and month of exit. Definition ACTIVITY of indicators.yaml.
select
    m.finess,
    m.exit_year,
    m.exit_month,
    'ACTIVITY' as definition_id,
    cast(count(*) filter (where is_stay) as integer) as stays,
    cast(sum(nights) as integer) as nights,
    cast(sum(days) as integer) as days,
    cast(sum(sessions) as integer) as sessions,
    any_value(h.period) as transmission_period,
    any_value(h.delivery_id) as transmission_id,
    any_value(h.provisional) as provisional
from int_pmsi__stay_measure as m
inner join ref_pmsi__head as h on m.finess = h.finess and m.exit_year = h.year
group by m.finess, m.exit_year, m.exit_month
having count(*) filter (where is_stay or is_session) > 0
order by m.finess, m.exit_year, m.exit_month
