-- Counts of each indicator and variant, of one head: stays are first grouped by what tells them apart, which leaves a few
-- hundred groups. population: all stays of the variant; askable: those of a format that has the field; denominator and
-- numerator among them; numerator_wider: the numerator of the variant beside it that asks for less (numerator where none does);
-- stated: those where the field is filled; answered: filled with a yes or a no. Masks read them all, the product publishes few.
-- grain: head
with kind as (
    select
        finess,
        exit_year,
        is_elderly,
        is_over_75,
        is_elderly_askable,
        is_schedule_stated,
        is_schedule_known,
        is_unscheduled,
        is_schedule_conflict,
        is_ed,
        is_direct_home,
        is_ed_by_provenance,
        is_surgical,
        is_raac_askable,
        is_raac,
        is_raac_stated,
        is_overnight,
        is_admission,
        is_admission_askable,
        is_entry_stated,
        is_from_medical_social,
        is_discharge,
        is_exit_stated,
        is_to_had,
        is_hpr_listed,
        is_hpr_any_rum,
        is_hpr_last_rum,
        count(*) as stays
    from int_pmsi__stay_measure
    group by all
),

by_age as (
    select *, 'ge75' as age, true as inside from kind where is_elderly
    union all
    select *, 'gt75', is_over_75 from kind where is_elderly
),

by_place as (
    select *, 'whole' as place, true as inside from kind
    union all
    select *, 'any_rum', is_hpr_any_rum from kind where is_hpr_listed
    union all
    select *, 'last_rum', is_hpr_last_rum from kind where is_hpr_listed
),

-- inside: of the variant's population (a variant without stays has its row); asked: in the denominator
member as (
    select
        finess, exit_year, 'OS_11' as definition_id, age || '_' || door.name as variant, stays, inside,
        is_elderly_askable as askable,
        case door.name when 'v1' then is_unscheduled or is_ed when 'v2' then is_schedule_known else true end as asked,
        is_unscheduled and is_direct_home as met_wider,
        true as met,
        is_schedule_stated as stated,
        is_schedule_known as answered,
        is_schedule_conflict as conflicting,
        is_ed_by_provenance
    from by_age
    cross join (values ('v1'), ('v2'), ('v3')) as door (name)
    union all
    select
        finess, exit_year, 'OS_13', span.name, stays, span.name = 'v1' or is_overnight,
        is_raac_askable, true, is_raac, true, is_raac_stated, is_raac_stated, false, false
    from kind
    cross join (values ('v1'), ('v2_overnight')) as span (name)
    where is_surgical
    union all
    select
        finess, exit_year, 'HPR_3_2', place || '_' || home.name, stays, inside, is_admission_askable, true, is_direct_home,
        home.name = 'with_medical_social' or not is_from_medical_social, is_entry_stated, is_entry_stated, false,
        is_ed_by_provenance
    from by_place
    cross join (values ('with_medical_social'), ('without_medical_social')) as home (name)
    where is_admission and place <> 'last_rum'
    union all
    select
        finess, exit_year, 'HPR_4_3', place, stays, inside, true, true, is_to_had, true, is_exit_stated, is_exit_stated, false, false
    from by_place
    where is_discharge
)

select
    finess,
    exit_year,
    definition_id,
    variant,
    coalesce(cast(sum(stays) filter (where inside) as bigint), 0) as population,
    coalesce(cast(sum(stays) filter (where inside and askable) as bigint), 0) as askable,
    coalesce(cast(sum(stays) filter (where inside and askable and asked) as bigint), 0) as denominator,
    coalesce(cast(sum(stays) filter (where inside and askable and asked and met_wider and met) as bigint), 0) as numerator,
    coalesce(cast(sum(stays) filter (where inside and askable and asked and met_wider) as bigint), 0) as numerator_wider,
    coalesce(cast(sum(stays) filter (where inside and stated) as bigint), 0) as stated,
    coalesce(cast(sum(stays) filter (where inside and answered) as bigint), 0) as answered,
    case
        when definition_id = 'OS_11' then coalesce(cast(sum(stays) filter (where inside and conflicting) as bigint), 0)
    end as conflicts,
    coalesce(bool_or(inside and askable and is_ed_by_provenance), false) as is_ed_by_provenance
from member
group by finess, exit_year, definition_id, variant
order by finess, exit_year, definition_id, variant
