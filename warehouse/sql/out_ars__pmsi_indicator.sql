-- Indicators of the CPOM and of the HPR annex recomputed from the PMSI, per establishment (e-PMSI FINESS) and year, in the
-- variants of indicators.yaml, but v3_roots of OS_13, whose list is not complete. No methodological sheet of the ARS was found:
-- every formula is a candidate. OS_13 says acts, the PMSI counts stays: a proxy. Stays of a format that lacks the field are
-- left out of the rate, and count as not stated in the completeness. The last columns are for the masks.
select
    c.finess,
    t.finess_ej,
    c.exit_year,
    c.definition_id,
    2 as definition_version,
    c.variant,
    cast(c.numerator as integer) as numerator,
    cast(c.denominator as integer) as denominator,
    cast(((c.numerator * 20000 + c.denominator) // nullif(2 * c.denominator, 0)) * 0.01 as decimal(5, 2)) as rate_percent,
    cast(((c.stated * 20000 + c.population) // nullif(2 * c.population, 0)) * 0.01 as decimal(5, 2)) as completeness_percent,
    cast(c.conflicts as integer) as conflicts,
    c.is_ed_by_provenance as ed_by_provenance,
    case
        when c.askable = 0 and c.population > 0 then 'CHAMP_ABSENT'
        when c.denominator < 30 then 'DENOMINATEUR_FAIBLE'
        when c.stated * 100 < c.population * 80 then 'COMPLETUDE'
    end as not_comparable_reason,
    t.transmission_period,
    t.transmission_id,
    t.provisional,
    cast(c.population as integer) as population,
    cast(c.askable as integer) as askable,
    cast(c.numerator_wider as integer) as numerator_wider,
    cast(c.stated as integer) as stated,
    cast(c.answered as integer) as answered
from int_pmsi__indicator_count as c
inner join int_pmsi__transmission as t using (finess, exit_year)
order by c.finess, c.exit_year, c.definition_id, c.variant
