-- Diagnoses, one row each, of one head: DP and DR of the stay, then its associated diagnoses (DAS) with the unit they belong to.
-- grain: head
with layout as (
    select format_version, zone_width as width
    from ref_pmsi__zone_field
    where field = 'das_code'
),

associated as (
    select
        u.finess,
        u.line_number,
        u.exit_year,
        u.exit_month,
        u.rum_number,
        s.das_zone,
        l.width,
        u.das_before + unnest(generate_series(1, u.das_count)) as diagnosis_rank
    from core_pmsi__unit_stay as u
    inner join segment_pmsi_rsa as s using (line_number)
    inner join layout as l using (format_version)
    where u.das_count > 0
)

select finess, line_number, exit_year, exit_month, 'DP' as kind, 0 as diagnosis_rank, dp_rum_number as rum_number,
    main_diagnosis as code
from segment_pmsi_rsa
where main_diagnosis is not null
union all
select finess, line_number, exit_year, exit_month, 'DR', 0, dp_rum_number, related_diagnosis
from segment_pmsi_rsa
where related_diagnosis is not null
union all
select finess, line_number, exit_year, exit_month, 'DAS', cast(diagnosis_rank as integer), rum_number,
    trim(substr(das_zone, (diagnosis_rank - 1) * width + 1, width))
from associated
order by line_number, kind, diagnosis_rank
