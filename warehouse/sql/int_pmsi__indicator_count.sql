-- Counts of each indicator and variant, of one head. A variant that narrows another is counted with its rings: the stays that
-- only the wider variant takes in. Ring 0 is the variant itself. The columns *_gap are the least counts of stays that anyone
-- could find by subtracting this variant from those published beside it; masks read them, nothing publishes them.
-- grain: head
with by_age as (
    select *, 'ge75' as age, 0 as ring
    from int_pmsi__stay_measure
    where is_elderly
    union all
    select *, 'gt75', case when is_over_75 then 0 else 1 end
    from int_pmsi__stay_measure
    where is_elderly
),

by_place as (
    select *, 'whole' as place, 0 as ring
    from int_pmsi__stay_measure
    where is_stay
    union all
    select *, 'any_rum', case when is_hpr_any_rum then 0 else 1 end
    from int_pmsi__stay_measure
    where is_stay and is_hpr_listed
    union all
    select *, 'last_rum', case when is_hpr_last_rum then 0 when is_hpr_any_rum then 1 else 2 end
    from int_pmsi__stay_measure
    where is_stay and is_hpr_listed
),

-- among: the variants of one population; askable: of a format that has the field; asked: in the denominator; met_wider: in the
-- numerator of the wider variant
member as (
    select
        finess, exit_year, 'OS_11' as definition_id, age as among, age || '_' || door.name as variant, ring,
        is_elderly_askable as askable,
        case door.name when 'v1' then is_unscheduled or is_ed when 'v2' then is_schedule_known else true end as asked,
        is_unscheduled and is_direct_home as met_wider,
        true as met,
        is_schedule_stated as stated,
        is_schedule_conflict as conflicting,
        is_ed_by_provenance
    from by_age
    cross join (values ('v1'), ('v2'), ('v3')) as door (name)
    union all
    select
        finess, exit_year, 'OS_13', 'all', 'v1', 0, is_raac_askable, true, is_raac, true, is_raac_stated, false, false
    from int_pmsi__stay_measure
    where is_surgical
    union all
    select
        finess, exit_year, 'OS_13', 'overnight', 'v2_overnight', case when is_overnight then 0 else 1 end,
        is_raac_askable, true, is_raac, true, is_raac_stated, false, false
    from int_pmsi__stay_measure
    where is_surgical
    union all
    select
        finess, exit_year, 'HPR_3_2', place, place || '_' || home.name, ring, is_admission_askable, true, is_direct_home,
        home.name = 'with_medical_social' or not is_from_medical_social, is_entry_stated, false, is_ed_by_provenance
    from by_place
    cross join (values ('with_medical_social'), ('without_medical_social')) as home (name)
    where is_admission and place <> 'last_rum'
    union all
    select finess, exit_year, 'HPR_4_3', place, place, ring, true, true, is_to_had, true, is_exit_stated, false, false
    from by_place
    where is_discharge
),

counted as (
    select
        finess,
        exit_year,
        definition_id,
        among,
        variant,
        ring,
        count(*) as population,
        count(*) filter (where askable) as askable,
        count(*) filter (where askable and asked) as denominator,
        count(*) filter (where askable and asked and met_wider and met) as numerator,
        count(*) filter (where askable and asked and met_wider) as numerator_wider,
        count(*) filter (where stated) as stated,
        count(*) filter (where askable and not stated) as unstated,
        count(*) filter (where stated and not asked) as stated_unasked,
        count(*) filter (where conflicting) as conflicts,
        bool_or(askable and is_ed_by_provenance) as is_ed_by_provenance
    from member
    group by finess, exit_year, definition_id, among, variant, ring
),

-- an empty difference sets no stay apart (null); one that is not must be as large as any published count
gapped as (
    select
        *,
        least(
            case when ring > 0 and askable > 0 then least(numerator, askable - numerator) end,
            nullif(numerator_wider - numerator, 0)
        ) as numerator_gap,
        least(
            case when ring > 0 then nullif(denominator, 0) end,
            nullif(askable - denominator, 0),
            case when askable > denominator and denominator > 0 then denominator - numerator end
        ) as denominator_gap,
        least(
            nullif(stated, 0),
            nullif(unstated, 0),
            nullif(stated_unasked, 0),
            nullif(stated - numerator_wider, 0)
        ) as completeness_gap
    from counted
),

figures as (
    select
        finess,
        exit_year,
        definition_id,
        among,
        variant,
        coalesce(sum(population) filter (where ring = 0), 0) as population,
        coalesce(sum(askable) filter (where ring = 0), 0) as askable,
        coalesce(sum(denominator) filter (where ring = 0), 0) as denominator,
        coalesce(sum(numerator) filter (where ring = 0), 0) as numerator,
        coalesce(sum(stated) filter (where ring = 0), 0) as stated,
        coalesce(sum(conflicts) filter (where ring = 0), 0) as conflicts,
        coalesce(bool_or(is_ed_by_provenance) filter (where ring = 0), false) as is_ed_by_provenance,
        min(numerator_gap) as numerator_gap,
        min(denominator_gap) as denominator_gap,
        min(completeness_gap) as completeness_gap
    from gapped
    group by finess, exit_year, definition_id, among, variant
)

-- completeness is the same in all variants of a population: shown in all of them or in none
select
    finess,
    exit_year,
    definition_id,
    variant,
    cast(population as bigint) as population,
    cast(askable as bigint) as askable,
    cast(denominator as bigint) as denominator,
    cast(numerator as bigint) as numerator,
    cast(stated as bigint) as stated,
    case when definition_id = 'OS_11' then cast(conflicts as bigint) end as conflicts,
    is_ed_by_provenance,
    numerator_gap,
    denominator_gap,
    min(completeness_gap) over (partition by finess, exit_year, definition_id, among) as completeness_gap
from figures
order by finess, exit_year, definition_id, variant
