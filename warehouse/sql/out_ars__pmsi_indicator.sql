-- CPOM indicators recomputed from the PMSI, per establishment (e-PMSI FINESS) and year: OS_13 (RAAC), variants v1 and
-- v2_overnight of indicators.yaml, whose formulas are candidates: no methodological sheet of the ARS was found. The label says
-- acts, the PMSI counts stays: a proxy. RAAC is absent from format 224: its stays are left out.
with variant as (
    select m.*, 'v1' as variant
    from int_pmsi__stay_measure as m
    where is_surgical
    union all
    select m.*, 'v2_overnight'
    from int_pmsi__stay_measure as m
    where is_surgical and is_overnight
),

counted as (
    select
        v.finess,
        v.exit_year,
        v.variant,
        count(*) filter (where is_raac) as numerator,
        count(*) filter (where is_raac_askable) as denominator,
        count(*) filter (where is_raac_stated) as stated,
        any_value(h.period) as transmission_period,
        any_value(h.delivery_id) as transmission_id,
        any_value(h.provisional) as provisional
    from variant as v
    inner join ref_pmsi__head as h on v.finess = h.finess and v.exit_year = h.year
    group by v.finess, v.exit_year, v.variant
)

select
    finess,
    exit_year,
    'OS_13' as definition_id,
    2 as definition_version,
    variant,
    cast(numerator as integer) as numerator,
    cast(denominator as integer) as denominator,
    cast(((numerator * 20000 + denominator) // nullif(2 * denominator, 0)) * 0.01 as decimal(5, 2)) as rate_percent,
    cast(((stated * 20000 + denominator) // nullif(2 * denominator, 0)) * 0.01 as decimal(5, 2)) as completeness_percent,
    case
        when denominator = 0 then 'CHAMP_ABSENT'
        when stated * 100 < denominator * 80 then 'COMPLETUDE'
        when denominator < 30 then 'DENOMINATEUR_FAIBLE'
    end as not_comparable_reason,
    transmission_period,
    transmission_id,
    provisional
from counted
order by finess, exit_year, variant
