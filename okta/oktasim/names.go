package oktasim

// culture is where a generated person comes from: names in their own script,
// each with the ASCII form that logins are made of, and the attributes that
// follow from the place.
type culture struct {
	country, language, locale, timezone string
	city, state, street, phone          string
	given, family                       [][2]string // name, ASCII form
}

// cultures cover Latin with and without marks, Cyrillic, Greek, Arabic, Hebrew,
// Devanagari, Thai, CJK, Kana and Hangul, and names written with combining marks
// (Yoruba and Vietnamese, decomposed), which are longer in bytes than in letters.
var cultures = []culture{
	{"US", "en", "en_US", "America/New_York", "New York", "NY", "5678 Testing Ave.", "+1 212 555 01%02d",
		[][2]string{{"Olivia", "olivia"}, {"Liam", "liam"}, {"Emma", "emma"}, {"Noah", "noah"}, {"Ava", "ava"}, {"Mary-Jane", "mary-jane"}, {"Isaac", "isaac"}, {"Grace", "grace"}},
		[][2]string{{"Smith", "smith"}, {"Johnson", "johnson"}, {"O'Brien", "obrien"}, {"Williams", "williams"}, {"Garcia-Lopez", "garcia-lopez"}, {"McDonald", "mcdonald"}, {"Brock", "brock"}, {"Lee", "lee"}}},
	{"DE", "de", "de_DE", "Europe/Berlin", "Köln", "Nordrhein-Westfalen", "Straße des 17. Juni 135", "+49 221 5550%03d",
		[][2]string{{"Jürgen", "juergen"}, {"Käthe", "kaethe"}, {"Jörg", "joerg"}, {"Anneliese", "anneliese"}, {"Björn", "bjoern"}, {"Zoë", "zoe"}},
		[][2]string{{"Müller", "mueller"}, {"Groß", "gross"}, {"Schäfer", "schaefer"}, {"Köhler", "koehler"}, {"von der Heide", "vonderheide"}, {"Weiß", "weiss"}}},
	{"FR", "fr", "fr_FR", "Europe/Paris", "Besançon", "Bourgogne-Franche-Comté", "12 rue de l'Église", "+33 1 55 55 %02d 01",
		[][2]string{{"Chloé", "chloe"}, {"François", "francois"}, {"Anaïs", "anais"}, {"Jérôme", "jerome"}, {"Maëlle", "maelle"}, {"Noël", "noel"}},
		[][2]string{{"Lefèvre", "lefevre"}, {"Garçon", "garcon"}, {"D'Étienne", "detienne"}, {"Dubois", "dubois"}, {"Bœuf", "boeuf"}, {"Hébert", "hebert"}}},
	{"PL", "pl", "pl_PL", "Europe/Warsaw", "Łódź", "Łódzkie", "ul. Piotrkowska 104", "+48 42 555 01 %02d",
		[][2]string{{"Łukasz", "lukasz"}, {"Małgorzata", "malgorzata"}, {"Grażyna", "grazyna"}, {"Żaneta", "zaneta"}, {"Paweł", "pawel"}},
		[][2]string{{"Wiśniewski", "wisniewski"}, {"Wójcik", "wojcik"}, {"Dąbrowska", "dabrowska"}, {"Szczęsny", "szczesny"}, {"Żak", "zak"}}},
	{"TR", "tr", "tr_TR", "Europe/Istanbul", "İzmir", "İzmir", "Cumhuriyet Bulvarı 1", "+90 232 555 01 %02d",
		[][2]string{{"Işıl", "isil"}, {"İbrahim", "ibrahim"}, {"Çağla", "cagla"}, {"Gökhan", "gokhan"}, {"Şule", "sule"}},
		[][2]string{{"Yılmaz", "yilmaz"}, {"Şahin", "sahin"}, {"Öztürk", "ozturk"}, {"Çelik", "celik"}, {"Güneş", "gunes"}}},
	{"RU", "ru", "ru_RU", "Europe/Moscow", "Санкт-Петербург", "Санкт-Петербург", "Невский проспект, 28", "+7 812 555-01-%02d",
		[][2]string{{"Анна", "anna"}, {"Дмитрий", "dmitriy"}, {"Ольга", "olga"}, {"Фёдор", "fyodor"}, {"Юлия", "yuliya"}, {"Алексей", "aleksey"}},
		[][2]string{{"Иванов", "ivanov"}, {"Кузнецова", "kuznetsova"}, {"Соловьёв", "solovyov"}, {"Щербакова", "shcherbakova"}, {"Петров", "petrov"}}},
	{"UA", "uk", "uk_UA", "Europe/Kyiv", "Київ", "Київ", "вулиця Хрещатик, 36", "+380 44 555 01 %02d",
		[][2]string{{"Олена", "olena"}, {"Їжакевич", "yizhakevych"}, {"Тарас", "taras"}, {"Євгенія", "yevheniia"}},
		[][2]string{{"Шевченко", "shevchenko"}, {"Ґалаґан", "galagan"}, {"Ющенко", "yushchenko"}, {"Мельник", "melnyk"}}},
	{"GR", "el", "el_GR", "Europe/Athens", "Θεσσαλονίκη", "Κεντρική Μακεδονία", "Οδός Εγνατία 45", "+30 231 055 50%02d",
		[][2]string{{"Γιώργος", "giorgos"}, {"Ελένη", "eleni"}, {"Νίκος", "nikos"}, {"Αθηνά", "athina"}, {"Χρήστος", "christos"}},
		[][2]string{{"Παπαδόπουλος", "papadopoulos"}, {"Γεωργίου", "georgiou"}, {"Οικονόμου", "oikonomou"}, {"Βασιλάκης", "vasilakis"}}},
	{"EG", "ar", "ar_EG", "Africa/Cairo", "القاهرة", "القاهرة", "شارع طلعت حرب ١٢", "+20 2 5555 01%02d",
		[][2]string{{"محمد", "mohamed"}, {"فاطمة", "fatma"}, {"أحمد", "ahmed"}, {"عائشة", "aisha"}, {"يوسف", "youssef"}},
		[][2]string{{"عبد الله", "abdallah"}, {"حسين", "hussein"}, {"المصري", "elmasry"}, {"منصور", "mansour"}}},
	{"IL", "he", "he_IL", "Asia/Jerusalem", "תל אביב", "תל אביב", "שדרות רוטשילד 22", "+972 3 555 01%02d",
		[][2]string{{"דוד", "david"}, {"שרה", "sarah"}, {"יעל", "yael"}, {"משה", "moshe"}, {"נועה", "noa"}},
		[][2]string{{"כהן", "cohen"}, {"לוי", "levi"}, {"מזרחי", "mizrahi"}, {"פרץ", "peretz"}}},
	{"IN", "hi", "hi_IN", "Asia/Kolkata", "मुंबई", "महाराष्ट्र", "मरीन ड्राइव ७", "+91 22 5550 1%03d",
		[][2]string{{"प्रिया", "priya"}, {"अर्जुन", "arjun"}, {"लक्ष्मी", "lakshmi"}, {"कृष्ण", "krishna"}, {"संजय", "sanjay"}},
		[][2]string{{"शर्मा", "sharma"}, {"पटेल", "patel"}, {"गुप्ता", "gupta"}, {"मिश्र", "mishra"}, {"सिंह", "singh"}}},
	{"TH", "th", "th_TH", "Asia/Bangkok", "กรุงเทพมหานคร", "กรุงเทพมหานคร", "ถนนสุขุมวิท 21", "+66 2 555 01%02d",
		[][2]string{{"สมชาย", "somchai"}, {"กัญญา", "kanya"}, {"ณัฐวุฒิ", "nattawut"}, {"พิมพ์ชนก", "pimchanok"}},
		[][2]string{{"ศรีสุข", "srisuk"}, {"จันทร์ดี", "chandee"}, {"วงศ์ใหญ่", "wongyai"}, {"ทองคำ", "thongkham"}}},
	{"CN", "zh", "zh_CN", "Asia/Shanghai", "上海", "上海", "南京东路 299 号", "+86 21 5555 01%02d",
		[][2]string{{"伟", "wei"}, {"芳", "fang"}, {"娜", "na"}, {"建国", "jianguo"}, {"晓明", "xiaoming"}, {"𠮷祥", "jixiang"}},
		[][2]string{{"王", "wang"}, {"李", "li"}, {"张", "zhang"}, {"欧阳", "ouyang"}, {"刘", "liu"}}},
	{"JP", "ja", "ja_JP", "Asia/Tokyo", "東京", "東京都", "千代田区丸の内 1-9-1", "+81 3 5555 01%02d",
		[][2]string{{"太郎", "taro"}, {"さくら", "sakura"}, {"ケンジ", "kenji"}, {"美咲", "misaki"}, {"翔太", "shota"}},
		[][2]string{{"佐藤", "sato"}, {"鈴木", "suzuki"}, {"髙橋", "takahashi"}, {"渡邉", "watanabe"}, {"小林", "kobayashi"}}},
	{"KR", "ko", "ko_KR", "Asia/Seoul", "서울", "서울특별시", "강남구 테헤란로 152", "+82 2 555 01%02d",
		[][2]string{{"민준", "minjun"}, {"서연", "seoyeon"}, {"지훈", "jihun"}, {"하은", "haeun"}, {"도윤", "doyun"}},
		[][2]string{{"김", "kim"}, {"이", "yi"}, {"박", "park"}, {"최", "choi"}, {"황보", "hwangbo"}}},
	{"NG", "yo", "yo_NG", "Africa/Lagos", "Ìbàdàn", "Ọ̀yọ́", "12 Ọbáfẹ́mi Awólọ́wọ̀ Way", "+234 2 555 01%02d",
		[][2]string{{"Ayọ̀délé", "ayodele"}, {"Olúwaṣeun", "oluwaseun"}, {"Ṣadé", "sade"}, {"Fẹ́mi", "femi"}},
		[][2]string{{"Adébáyọ̀", "adebayo"}, {"Ọláńrewájú", "olanrewaju"}, {"Ògúnṣọlá", "ogunsola"}, {"Bámidélé", "bamidele"}}},
	{"VN", "vi", "vi_VN", "Asia/Ho_Chi_Minh", "Hà Nội", "Hà Nội", "36 phố Hàng Đào", "+84 24 555 01%02d",
		[][2]string{{"Hu\u031bo\u031bng", "huong"}, {"Thu\u0309y", "thuy"}, {"Minh", "minh"}, {"Đức", "duc"}},
		[][2]string{{"Nguye\u0302\u0303n", "nguyen"}, {"Tra\u0302\u0300n", "tran"}, {"Đặng", "dang"}, {"Phạm", "pham"}}},
}

var (
	mailDomains  = []string{"contoso.example.com", "fabrikam.example.com", "example.org", "emea.example.com", "apac.example.com"}
	titles       = []string{"Engineer", "Senior Engineer", "Director", "Vice President, Sales & Marketing", "Analyst", "Ingénieure", "課長", "Team Lead \"Core\"", "Accountant", "Support <Tier 2>"}
	departments  = []string{"Engineering", "Sales", "IT", "Finance", "People", "Legal & Compliance", "Forschung", "営業部", "Support"}
	divisions    = []string{"Products", "Acquisitions", "EMEA", "APAC", "Americas"}
	userTypes    = []string{"Employee", "Contractor", "Intern", "Partner"}
	prefixes     = []string{"Dr.", "Prof.", "Ms.", "Mr."}
	suffixes     = []string{"Jr.", "III", "PhD"}
	organization = []string{"Contoso Ltd.", "Fabrikam, Inc.", "Société Générale d’Essai"}
	skills       = []string{"go", "sql", "temporal", "german", "first aid", "日本語", "c++", "negotiation"}
	groupWords   = []string{"Engineering", "Sales", "VPN", "Wiki", "Payroll", "Kaffeeküche", "Büro Köln", "開発", "Отдел", "Project", "Region", "Admins", "On-Call", "R&D", "Auditors", "ทีม", "الفريق"}
	groupKinds   = []string{"Readers", "Editors", "Owners", "Members", "Approvers", "Leads"}
)
