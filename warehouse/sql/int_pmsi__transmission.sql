-- The MCO transmissions that stand, one row a head: what a published row says of its origin, and the legal entity (EJ) of
-- its e-PMSI FINESS as of 31 December of the year. That FINESS is an ET or an EJ; a number that is both is an EJ. Where the
-- links do not name one EJ alone, it is unresolved.
with linked as (
    select h.scope, l.ej, h.finess = l.ej as is_own
    from ref_pmsi__head as h
    inner join ref_finess__link as l on h.finess in (l.et, l.ej)
    where l.valid_from <= h.year || '-12-31' and coalesce(l.valid_to, '9999') > h.year || '-12-31'
),

resolved as (
    select scope, coalesce(min(ej) filter (where is_own), min(ej)) as ej
    from linked
    group by scope
    having bool_or(is_own) or count(distinct ej) = 1
)

select
    h.finess,
    h.year as exit_year,
    r.ej as finess_ej,
    h.period as transmission_period,
    h.delivery_id as transmission_id,
    h.provisional
from ref_pmsi__head as h
left join resolved as r using (scope)
where h.scope like 'pmsi/mco/%'
order by h.finess, h.year
