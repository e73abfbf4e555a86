-- What each unit stay (RUM) counts for, of one head. A stay counts once on each geographic site (ET) that it crosses:
-- is_first_on_site.
-- grain: head
select
    m.finess,
    m.exit_year,
    m.exit_month,
    m.line_number,
    u.rum_rank,
    coalesce(nullif(u.finess_geo, ''), 'INCONNU') as finess_geo,
    m.is_stay,
    m.is_stay and row_number() over (partition by u.line_number, u.finess_geo order by u.rum_rank) = 1 as is_first_on_site,
    case when m.is_stay then coalesce(u.partial_los, 0) else 0 end as nights
from core_pmsi__unit_stay as u
inner join int_pmsi__stay_measure as m using (line_number)
order by m.line_number, u.rum_rank
