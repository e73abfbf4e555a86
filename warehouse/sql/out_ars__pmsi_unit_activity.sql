-- Monthly unit activity per establishment (e-PMSI FINESS) and geographic site (FINESS of the unit), sessions aside. Definition
-- ACTIVITY of indicators.yaml, with a stated otherwise: a stay counts on every site that it crosses, so sites do not add up.
with counted as (
    select
        finess,
        exit_year,
        exit_month,
        finess_geo,
        count(*) filter (where is_first_on_site) as stays,
        count(*) as unit_stays,
        sum(nights) as nights
    from int_pmsi__unit_measure
    where is_stay
    group by finess, exit_year, exit_month, finess_geo
)

select
    c.finess,
    t.finess_ej,
    c.finess_geo,
    c.exit_year,
    c.exit_month,
    'ACTIVITY' as definition_id,
    cast(c.stays as integer) as stays,
    cast(c.unit_stays as integer) as unit_stays,
    cast(c.nights as integer) as nights,
    t.transmission_period,
    t.transmission_id,
    t.provisional
from counted as c
inner join int_pmsi__transmission as t using (finess, exit_year)
order by c.finess, c.finess_geo, c.exit_year, c.exit_month
